import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The shells of the images that carry OpenBao, and what they are called here. */
export const SHELLS = [
  { name: 'dash', interpreter: '/bin/dash' },
  { name: 'busybox sh', interpreter: '/bin/busybox sh' },
  { name: 'bash as sh', interpreter: '/bin/bash --posix' },
] as const

export type Shell = (typeof SHELLS)[number]

/** The connector as it is shipped. */
export const CONNECTOR_PATH = join(import.meta.dirname, '../../../../../deploy/connector/sealwright-connector')

/** Writes the connector to `path`, for a shell of our choice, and nothing else changed. */
export function installConnector(path: string, { interpreter }: Shell): void {
  const text = readFileSync(CONNECTOR_PATH, 'utf8')
  writeFileSync(path, text.replace(/^#!\/bin\/sh\n/, `#!${interpreter}\n`), { mode: 0o755 })
}
