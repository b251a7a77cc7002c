import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { hasErrorCode } from '@sealwright/system-error'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
/** Random part of a temporary name, in bytes; twice as many hex digits. */
const RANDOM_BYTES = 8
const TEMPORARY_END = /^\.[0-9a-f]{16}\.tmp$/
/** No writer takes that long: what is older was left by one that was killed. */
const LEFTOVER_AGE_MS = 60 * 60 * 1_000

/** A fresh name beside `path`: in the same folder, so that a rename is atomic. */
export function temporaryPath(path: string): string {
  return `${path}.${randomBytes(RANDOM_BYTES).toString('hex')}.tmp`
}

/**
 * Makes a file where nothing is, not even a link, with exactly this mode, whatever the umask. The caller closes it.
 *
 * @throws what the system says: `EEXIST` if anything is there.
 */
export async function createFile(path: string, mode: number): Promise<FileHandle> {
  const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  try {
    await file.chmod(mode)
    return file
  } catch (cause) {
    await file.close()
    await removeIfPossible(path)
    throw cause
  }
}

/** Removes a temporary file after a failure; that failure is what the caller must see, not another one. */
export async function removeIfPossible(path: string): Promise<void> {
  try {
    await rm(path, { force: true })
  } catch {
    // It holds nothing that counts: the next write takes it away.
  }
}

/** Removes what killed writers of `path` have left, and nothing that this library did not name. Others may be writing now. */
export async function removeLeftovers(path: string): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)]
  for (const entry of await namesIn(folder)) {
    if (!entry.startsWith(name) || !TEMPORARY_END.test(entry.slice(name.length))) continue
    const leftover = join(folder, entry)
    try {
      const { mtimeMs } = await lstat(leftover)
      if (Date.now() - mtimeMs >= LEFTOVER_AGE_MS) await removeIfPossible(leftover)
    } catch (cause) {
      if (!hasErrorCode(cause, 'ENOENT')) throw cause // its writer has just put it in place
    }
  }
}

/** None, where the folder may be written and not read. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (hasErrorCode(cause, 'EACCES')) return []
    throw cause
  }
}
