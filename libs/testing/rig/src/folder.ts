import { realpathSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RigError } from './error.ts'

/**
 * Longest path of a temporary folder, in bytes. A Unix socket's whole path has at most 107 bytes, and a node's sockets
 * lie a few folders deeper.
 */
export const MAX_FOLDER_PATH_BYTES = 40

/** A folder of our own, mode 0700, gone with everything in it when it is disposed of. */
export interface TemporaryFolder extends AsyncDisposable {
  /** Absolute, free of symbolic links (OpenBao's plugin folder must be). */
  readonly path: string
  /** A path inside the folder. */
  readonly join: (...segments: readonly string[]) => string
  /** Removes the folder. Harmless when it is gone already. */
  readonly remove: () => Promise<void>
}

/**
 * Makes a temporary folder with a short path.
 *
 * @throws {@link RigError} `RIG_INVALID` if neither the system's temporary folder nor /tmp gives a short enough path.
 */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await realpath(await mkdtemp(join(shortParent(), 'sw-')))
  const remove = async (): Promise<void> => {
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
  }
  return { path, join: (...segments) => join(path, ...segments), remove, [Symbol.asyncDispose]: remove }
}

/** mkdtemp adds a slash, `sw-` and six letters. */
const NAME_BYTES = 10

function shortParent(): string {
  for (const candidate of [tmpdir(), '/tmp']) {
    const parent = realpathSync(candidate)
    if (Buffer.byteLength(parent) + NAME_BYTES <= MAX_FOLDER_PATH_BYTES) return parent
  }
  throw new RigError('RIG_INVALID', `temporary folders must have at most ${MAX_FOLDER_PATH_BYTES} bytes in their path`)
}
