import { dirname } from 'node:path'
import { createFile, removeIfPossible } from './temporary-file.ts'
import { putInPlace, syncFolder } from './replace-file.ts'

/** A name that is taken, by an empty file. Disposing of it gives the name up unless it was filled. */
export interface NewFile extends AsyncDisposable {
  /**
   * Puts the content there: all of it or nothing, and on the disk once it returns. If only the folder cannot be flushed at the very end
   * (`EIO`), it throws and the content is there, to stay: a power cut may still take it away.
   *
   * @throws what the system says.
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
  await (await createFile(path, mode)).close()
  let isFilled = false
  return {
    async fill(bytes) {
      await putInPlace(path, bytes, { mode })
      isFilled = true
      await syncFolder(dirname(path))
    },
    async [Symbol.asyncDispose]() {
      if (!isFilled) await removeIfPossible(path)
    },
  }
}
