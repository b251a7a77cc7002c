import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { readFailure, StoreError, writeFailure } from './errors.ts'
import { type Folder } from './folder.ts'

/** How far {@link createFile} has come. */
export type CreateStep = 'created' | 'written' | 'synced'

/**
 * Opens an existing regular file for reading. Never follows a link, never blocks on a pipe.
 *
 * @returns `undefined` if there is no such entry.
 * @throws {@link StoreError} `STORE_NOT_A_FILE`, `STORE_UNREADABLE`.
 */
export async function openEntry(folder: Folder, name: string): Promise<FileHandle | undefined> {
  let handle: FileHandle
  try {
    handle = await open(folder.at(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return undefined
    throw readFailure(folder.shown(name), cause)
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw new StoreError(
    'STORE_NOT_A_FILE',
    `${folder.shown(name)} is not a regular file: find out who put it there and move it away`,
  )
}

/**
 * Reads an open file whole.
 *
 * @param path - for messages.
 * @param maxBytes - the most it may hold.
 * @throws {@link StoreError} `STORE_TOO_LARGE`, `STORE_UNREADABLE`.
 */
export async function readWhole(handle: FileHandle, path: string, maxBytes: number): Promise<Uint8Array> {
  // One byte more than allowed, so that a file which grows meanwhile is noticed.
  const buffer = new Uint8Array(maxBytes + 1)
  let length = 0
  try {
    while (length < buffer.byteLength) {
      const { bytesRead } = await handle.read(buffer, length, buffer.byteLength - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
  } catch (cause) {
    throw readFailure(path, cause)
  }
  if (length > maxBytes) {
    throw new StoreError('STORE_TOO_LARGE', `${path} holds more than ${maxBytes} bytes: it is not a file of ours`)
  }
  return buffer.slice(0, length)
}

/**
 * Makes a new file with exactly this mode, writes it and makes its content last. If that fails the file is removed
 * again, as far as possible. The caller syncs the folder.
 *
 * @throws {@link StoreError} the codes of a failed write.
 */
export async function createFile(
  folder: Folder,
  name: string,
  content: { readonly bytes: Uint8Array; readonly mode: number },
  onStep: (step: CreateStep) => void,
): Promise<void> {
  let handle: FileHandle
  try {
    handle = await open(
      folder.at(name),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      content.mode,
    )
  } catch (cause) {
    throw writeFailure(folder.shown(name), cause)
  }
  try {
    await using file = handle
    onStep('created')
    // The umask may have taken bits at open.
    await file.chmod(content.mode)
    await file.writeFile(content.bytes)
    onStep('written')
    await file.sync()
    onStep('synced')
  } catch (cause) {
    await removeIfPossible(folder, name)
    throw writeFailure(folder.shown(name), cause)
  }
}

/**
 * Removes a temporary file of ours after a failure.
 *
 * @returns whether it is gone. If not, the next write removes it: the first failure is what the caller must see.
 */
export async function removeIfPossible(folder: Folder, name: string): Promise<boolean> {
  try {
    await unlink(folder.at(name))
    return true
  } catch (cause) {
    return hasErrorCode(cause, 'ENOENT')
  }
}
