import { constants } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorCodeOf } from '@sealwright/system-error'
import { createFile, removeIfPossible, removeLeftovers, temporaryPath } from './temporary-file.ts'

/** How {@link replaceFile} writes. */
export interface ReplaceFileOptions {
  /** Permission bits, exactly: the umask takes none away. */
  readonly mode: number
  /** Default: this program's own. */
  readonly owner?: { readonly userId: number; readonly groupId: number }
  /**
   * Called with what was read back, when the new file is on the disk and the old one still in its place. If it throws, that stays, and
   * the caller hears the same error.
   */
  readonly prove?: (bytesReadBack: Uint8Array) => Promise<void>
  /** Obeyed until the new file takes its place. */
  readonly signal?: AbortSignal
}

/**
 * Writes a file anew, whatever was there: written beside it, flushed, proven, renamed into its place. Killed anywhere, the old or the
 * new one is there, whole; once it returns, a power cut does not take the new one away.
 *
 * After a failure the temporary file is gone and the old file is there, but for one case, which has an error of its own.
 *
 * @param path - its folder must exist. A link there is replaced, not followed.
 * @throws {@link NotFlushedError}: the new file is there. What the system, `prove` or `signal` says: the old one is.
 */
export async function replaceFile(
  path: string,
  bytes: Uint8Array | string,
  options: ReplaceFileOptions,
): Promise<void> {
  await removeLeftovers(path)
  await putInPlace(path, bytes, options)
  await flushNames(path)
}

/** The file is there, whole; but its folder could not be flushed (`EIO`), so that a power cut may bring back what was there before. */
export class NotFlushedError extends Error {
  override readonly name = 'NotFlushedError'
  /** What the system says. */
  readonly code: string | undefined

  constructor(path: string, cause: unknown) {
    super(`${path} is written, and a power cut may undo it (${errorCodeOf(cause) ?? 'no code'})`, { cause })
    this.code = errorCodeOf(cause)
  }
}

interface PutOptions extends ReplaceFileOptions {
  /** The last that is called before the file takes its place. If it throws, that does not happen. */
  readonly beforeRename?: () => Promise<void>
}

/** The same up to the rename: nothing is tidied up, and the folder is not flushed yet. If it throws, the new file is not there. */
export async function putInPlace(
  path: string,
  bytes: Uint8Array | string,
  { mode, owner, prove, signal, beforeRename }: PutOptions,
): Promise<void> {
  signal?.throwIfAborted()
  const written = temporaryPath(path)
  try {
    {
      await using file = await createFile(written, mode)
      // Before the content is there: it is nobody else's at any moment.
      if (owner !== undefined) await file.chown(owner.userId, owner.groupId)
      await file.writeFile(bytes)
      await file.sync()
    }
    if (prove !== undefined) await prove(await readFile(written))
    signal?.throwIfAborted()
    await beforeRename?.()
    await rename(written, path)
  } catch (cause) {
    await removeIfPossible(written)
    throw cause
  }
}

/** @throws {@link NotFlushedError}. */
export async function flushNames(path: string): Promise<void> {
  try {
    await syncFolder(dirname(path))
  } catch (cause) {
    throw new NotFlushedError(path, cause)
  }
}

/** Makes the names in a folder last: those that were made, renamed and removed. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  await folder.sync()
}
