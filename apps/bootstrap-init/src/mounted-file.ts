import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { hasErrorCode } from '@sealwright/system-error'
import { BootstrapError } from './errors.ts'

/** Far more than a seal key or its name needs. */
export const MAX_FILE_BYTES = 4096

/** A file or folder that an operator or Kubernetes has mounted, held open: what is judged is what is read. */
export interface Mounted extends AsyncDisposable {
  readonly kind: 'file' | 'folder'
  /** As an operator knows it, for messages. */
  readonly path: string
  readonly handle: FileHandle
  readonly status: Stats
}

/**
 * Opens what lies at a path. Follows links, as Kubernetes makes them; never blocks on a pipe.
 *
 * @param shownPath - for messages, where it is not `path` itself.
 * @returns `undefined` if there is nothing.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNREADABLE`, also for what is neither a file nor a folder.
 */
export async function openMounted(path: string, shownPath = path): Promise<Mounted | undefined> {
  let handle: FileHandle
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return undefined
    throw unreadable(shownPath, cause)
  }
  const status = await handle.stat()
  if (status.isFile() || status.isDirectory()) {
    const kind = status.isFile() ? 'file' : 'folder'
    return { kind, path: shownPath, handle, status, [Symbol.asyncDispose]: () => handle.close() }
  }
  await handle.close()
  throw new BootstrapError('BOOTSTRAP_KEY_UNREADABLE', `${shownPath} is not a regular file: mount the seal key as one`)
}

/** {@link openMounted} for an entry of the very folder that is open, whatever its path leads to by now. */
export async function openInside(folder: Mounted, name: string): Promise<Mounted | undefined> {
  return await openMounted(pathInside(folder, name), join(folder.path, name))
}

/** The path for system calls on an entry of an open folder (Node has no `openat`). */
export function pathInside({ handle }: Mounted, name: string): string {
  return `/proc/self/fd/${handle.fd}/${name}`
}

/**
 * Reads a small file into one buffer of our own: what a key went through must be known, to be wiped.
 *
 * @returns its first 4,097 bytes at most: longer than {@link MAX_FILE_BYTES} means too long. The caller wipes them.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNREADABLE`.
 */
export async function readStart({ handle, path }: Mounted): Promise<Uint8Array> {
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1)
  let length = 0
  try {
    while (length < buffer.byteLength) {
      const { bytesRead } = await handle.read(buffer, length, buffer.byteLength - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
  } catch (cause) {
    buffer.fill(0)
    throw unreadable(path, cause)
  }
  return buffer.subarray(0, length)
}

function unreadable(path: string, cause: unknown): BootstrapError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new BootstrapError(
    'BOOTSTRAP_KEY_UNREADABLE',
    `${path} cannot be read: check its owner and mode (${reason})`,
    { cause },
  )
}
