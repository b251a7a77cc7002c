import { type FileHandle, open } from 'node:fs/promises'

import { HEADER_BYTES, MAX_FRAME_BYTES, TpmWireError, responseSizeBytes } from '@sealwright/tpm-wire'

import { type Channel } from './channel.ts'
import { type Deadline } from './deadline.ts'
import { TpmError } from './errors.ts'

/**
 * Opens a character device such as `/dev/tpmrm0`: one write is one command, one read its response.
 *
 * The calls run on the thread pool and cannot be interrupted. When a deadline fires we stop waiting, and `close` resolves only once
 * the kernel has answered: so a TPM that hangs holds one thread, never all of them.
 *
 * @throws {@link TpmError} `TPM_UNREACHABLE`, `TPM_TIMEOUT`, `TPM_CANCELLED`.
 */
export async function openDeviceChannel(path: string, deadline: Deadline): Promise<Channel> {
  const opening = openDevice(path)
  const handle = await race(opening, `opening ${path}`, deadline).catch((error: unknown) => {
    // Should the open succeed after we gave up on it, nobody else would close the device.
    void opening.then(late => late.close()).catch(() => undefined)
    throw error
  })
  let usable = true
  let exchange: Promise<unknown> = Promise.resolve()

  return {
    async transceive(command, doing, commandDeadline) {
      commandDeadline.assertNotOver(doing)
      if (!usable) throw new TpmError('TPM_GONE', `${path} is closed`)
      const answer = writeAndRead(handle, path, command)
      exchange = answer.catch((error: unknown) => error)
      try {
        return await race(answer, doing, commandDeadline)
      } catch (error) {
        usable = false
        throw error
      }
    },
    isUsable: () => usable,
    async close() {
      usable = false
      await exchange
      await handle.close()
    },
  }
}

async function openDevice(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+')
  } catch (cause) {
    const message = `cannot open ${path}: check that the TPM is switched on and that we are in the group that may use it (often "tss")`
    throw new TpmError('TPM_UNREACHABLE', message, { cause })
  }
}

async function writeAndRead(handle: FileHandle, path: string, command: Uint8Array): Promise<Uint8Array> {
  const response = new Uint8Array(MAX_FRAME_BYTES)
  let receivedBytes = 0
  try {
    const { bytesWritten } = await handle.write(command)
    if (bytesWritten !== command.byteLength) throw new TpmError('TPM_PROTOCOL', `${path} took only a part of a command`)
    // The kernel hands out the whole response at once; more than one read is for drivers that do not.
    for (;;) {
      const { bytesRead } = await handle.read(response, receivedBytes, MAX_FRAME_BYTES - receivedBytes)
      if (bytesRead === 0) throw new TpmError('TPM_GONE', `${path} ended before the TPM had answered`)
      receivedBytes += bytesRead
      if (receivedBytes >= HEADER_BYTES && receivedBytes >= responseSizeBytes(response)) break
    }
  } catch (cause) {
    if (cause instanceof TpmError) throw cause
    if (cause instanceof TpmWireError)
      throw new TpmError('TPM_PROTOCOL', `${path} does not speak like a TPM`, { cause })
    throw new TpmError('TPM_GONE', `the TPM at ${path} failed in the middle of a command`, { cause })
  }
  return response.slice(0, receivedBytes)
}

/** Waits for `work`, but not longer than the deadline. The work itself goes on. */
async function race<T>(work: Promise<T>, doing: string, deadline: Deadline): Promise<T> {
  let onAbort: (() => void) | undefined
  const over = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(deadline.error(doing))
    }
    deadline.signal.addEventListener('abort', onAbort, { once: true })
    if (deadline.signal.aborted) onAbort()
  })
  try {
    return await Promise.race([work, over])
  } finally {
    if (onAbort) deadline.signal.removeEventListener('abort', onAbort)
  }
}
