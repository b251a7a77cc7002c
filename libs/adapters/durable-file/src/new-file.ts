import { type FileHandle, lstat } from 'node:fs/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { flushNames, putInPlace } from './replace-file.ts'
import { createFile, removeIfPossible, removeLeftovers } from './temporary-file.ts'

/** A name that is taken, by an empty file. Disposing of it gives the name up unless it was filled. */
export interface NewFile extends AsyncDisposable {
  /**
   * Puts the content there: all of it or nothing, and on the disk once it returns.
   *
   * @throws {@link NotFlushedError}: the content is there, to stay. What the system says: `EEXIST` if somebody has put another file there.
   */
  fill(bytes: Uint8Array | string): Promise<void>
}

/**
 * Takes a name that nobody has: before something is done whose outcome must not be lost, and so that nothing is written over. A kill leaves the
 * empty file, never a part of the content.
 *
 * @param path - its folder must exist. A link there counts as a file, wherever it leads.
 * @param options.mode - permission bits, exactly.
 * @throws what the system says: `EEXIST` if anything is there.
 */
export async function openNewFile(path: string, { mode }: { readonly mode: number }): Promise<NewFile> {
  await removeLeftovers(path)
  // Open until the end, so that no other file can have its inode.
  const taken = await createFile(path, mode)
  let isFilled = false
  return {
    async fill(bytes) {
      await putInPlace(path, bytes, { mode, beforeRename: () => assertNobodyElses(path, taken) })
      isFilled = true
      await flushNames(path)
    },
    async [Symbol.asyncDispose]() {
      try {
        if (!isFilled && (await whoseIs(path, taken)) === 'ours') await removeIfPossible(path)
      } catch {
        // Nobody can tell whose it is: it stays, and what has failed before is what the caller must hear.
      } finally {
        await taken.close()
      }
    },
  }
}

async function assertNobodyElses(path: string, taken: FileHandle): Promise<void> {
  if ((await whoseIs(path, taken)) === 'others')
    throw Object.assign(new Error(`another file is at ${path} by now`), { code: 'EEXIST' })
}

async function whoseIs(path: string, taken: FileHandle): Promise<'nobodys' | 'others' | 'ours'> {
  const own = await taken.stat({ bigint: true })
  try {
    const there = await lstat(path, { bigint: true })
    return there.dev === own.dev && there.ino === own.ino ? 'ours' : 'others'
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return 'nobodys'
    throw cause
  }
}
