import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Writes a fresh seal key in the form of the bootstrap Secret, and returns its folder. */
export async function writeSealKey(parent: string, name = 'bootstrap'): Promise<string> {
  const folder = join(parent, name)
  await mkdir(folder, { mode: 0o700 })
  await writeFile(join(folder, 'seal-key'), randomBytes(32).toString('base64'), { mode: 0o600 })
  return folder
}
