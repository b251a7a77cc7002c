import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '@sealwright/program'
import { BootstrapError } from './errors.ts'

/** Far more than a seal key or its name needs. */
export const MAX_FILE_BYTES = 4096

/** What lies at a path that an operator or Kubernetes has mounted. */
export type Mounted =
  { readonly kind: 'absent' } | { readonly kind: 'folder' } | { readonly kind: 'file'; readonly bytes: Uint8Array }

/**
 * Reads a small mounted file whole. Follows links, as Kubernetes makes them; never blocks on a pipe.
 *
 * @returns a file's bytes, the first 4,097 at most: longer than {@link MAX_FILE_BYTES} means too long. The caller wipes them.
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_UNREADABLE`.
 */
export async function readMounted(path: string): Promise<Mounted> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const status = await file.stat()
    if (status.isDirectory()) return { kind: 'folder' }
    if (status.isFile()) return { kind: 'file', bytes: await readStart(file) }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return { kind: 'absent' }
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new BootstrapError(
      'BOOTSTRAP_KEY_UNREADABLE',
      `${path} cannot be read: check its owner and mode (${reason})`,
      {
        cause,
      },
    )
  }
  throw new BootstrapError('BOOTSTRAP_KEY_UNREADABLE', `${path} is not a regular file: mount the seal key as one`)
}

/**
 * The folder in which the files of a mounted Kubernetes Secret really lie, so that all are read from one version of it.
 *
 * @returns `folder` itself where Kubernetes did not mount it.
 */
export async function currentVersionOf(folder: string): Promise<string> {
  try {
    return await realpath(join(folder, '..data'))
  } catch (cause) {
    // Whatever else is wrong with the folder shows, with a better message, when its files are read.
    if (codeOf(cause) !== undefined) return folder
    throw cause
  }
}

/** Into one buffer of our own: what a key went through must be known, to be wiped. */
async function readStart(file: FileHandle): Promise<Uint8Array> {
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1)
  let length = 0
  while (length < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, length, buffer.byteLength - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}
