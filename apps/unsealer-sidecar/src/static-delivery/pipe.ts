import { execFile } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { chmod, chown, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Secret } from '@sealwright/secret'
import { hasErrorCode } from '@sealwright/system-error'
import { ioFailure, StaticDeliveryError } from './errors.ts'
import { type Access, foreignFile, isOurs, statIfAny } from './folder.ts'

const run = promisify(execFile)
/** Making a pipe takes milliseconds; the rest is a machine that has stopped. */
const MKFIFO_TIMEOUT_MS = 5000

/**
 * A named pipe that serves one reader. As soon as somebody reads, another pipe takes its name: so nobody else can get to the first
 * one, a reader never gets the key twice, and what a reader left unread is gone with it.
 */
export interface DeliveryPipe {
  /** Looks, without waiting, whether somebody reads; if so the reader is ours alone from here on. */
  takeReader(): Promise<PipeReader | undefined>
}

/** Somebody who reads from a pipe that has no name any more. Disposing of it ends what they read. */
export interface PipeReader extends Disposable {
  /** Whether they still read. */
  isThere(): boolean
  /** Writes the bytes in one piece. `false`: they are gone, and got nothing. */
  write(secret: Secret): boolean
}

/**
 * Makes a pipe ready at `path`. One that is there already is taken over: somebody may wait at it.
 *
 * @throws {@link StaticDeliveryError} `STATIC_DELIVERY_FOREIGN_FILE`, `STATIC_DELIVERY_MKFIFO_FAILED`, `STATIC_DELIVERY_IO_FAILED`.
 */
export async function prepareDeliveryPipe(
  path: string,
  { groupId, mkfifoPath }: Access & { readonly mkfifoPath: string },
): Promise<DeliveryPipe> {
  const sparePath = join(dirname(path), `.${basename(path)}.next`)

  async function make(at: string): Promise<void> {
    try {
      await run(mkfifoPath, ['-m', '0600', at], { timeout: MKFIFO_TIMEOUT_MS, env: {} })
    } catch (cause) {
      throw new StaticDeliveryError('STATIC_DELIVERY_MKFIFO_FAILED', `${mkfifoPath} did not make ${at}`, { cause })
    }
    await setMode(at)
  }

  async function setMode(at: string): Promise<void> {
    if (groupId !== undefined) await chown(at, -1, groupId)
    await chmod(at, groupId === undefined ? 0o600 : 0o640)
  }

  async function ensure(at: string, ifThere: (at: string) => Promise<void>): Promise<void> {
    try {
      const stats = await statIfAny(at)
      if (stats === undefined) {
        await make(at)
        return
      }
      if (!stats.isFIFO() || !isOurs(stats)) throw foreignFile(at, 'a pipe')
      await ifThere(at)
    } catch (cause) {
      throw ioFailure(`make the pipe ${at}`, cause)
    }
  }

  // What a killed agent left there was never at its place.
  const renew = async (at: string): Promise<void> => {
    await unlink(at)
    await make(at)
  }
  await ensure(path, setMode)
  await ensure(sparePath, renew)
  let isSpareReady = true

  return {
    async takeReader() {
      if (!isSpareReady) {
        await ensure(sparePath, renew)
        isSpareReady = true
      }
      const fd = openIfRead(path)
      if (fd === undefined) return undefined
      try {
        const stats = fstatSync(fd)
        if (!stats.isFIFO() || !isOurs(stats)) throw foreignFile(path, 'a pipe')
        await rename(sparePath, path)
      } catch (cause) {
        closeSync(fd)
        throw ioFailure(`take a reader of ${path}`, cause)
      }
      isSpareReady = false
      return pipeReader(fd)
    },
  }
}

/** Opening a pipe for writing without waiting fails with ENXIO exactly when nobody reads it. */
function openIfRead(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENXIO')) return undefined
    throw ioFailure(`open the pipe ${path}`, cause)
  }
}

function pipeReader(fd: number): PipeReader {
  let isOpen = true
  return {
    isThere() {
      // Opened anew by way of its descriptor, the pipe answers as it does to anybody else.
      const again = openIfReadByDescriptor(fd)
      if (again !== undefined) closeSync(again)
      return again !== undefined
    },
    write(secret) {
      try {
        // No more than PIPE_BUF, into a pipe that is empty: all at once, or not at all.
        secret.reveal(bytes => writeSync(fd, bytes))
        return true
      } catch (cause) {
        if (hasErrorCode(cause, 'EPIPE')) return false
        throw ioFailure('write to a pipe', cause)
      }
    },
    [Symbol.dispose]() {
      if (!isOpen) return
      isOpen = false
      closeSync(fd)
    },
  }
}

function openIfReadByDescriptor(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (hasErrorCode(cause, 'ENXIO')) return undefined
    throw ioFailure('look who reads from a pipe', cause)
  }
}
