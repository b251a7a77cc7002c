import { accessSync, constants } from 'node:fs'
import { join, resolve } from 'node:path'
import { RigError } from './error.ts'

/** The folder that holds `apps`, `libs` and `tools`. */
export function repositoryRoot(): string {
  return resolve(import.meta.dirname, '../../../..')
}

/**
 * Path of the real OpenBao server.
 *
 * @throws {@link RigError} `RIG_TOOL_MISSING` if the set-up has not installed it.
 */
export function openBaoPath(): string {
  const path = join(repositoryRoot(), '.tools/bin/bao')
  try {
    accessSync(path, constants.X_OK)
  } catch (cause) {
    throw new RigError('RIG_TOOL_MISSING', `OpenBao is missing at ${path}: run \`npm run setup\``, { cause })
  }
  return path
}
