import { writeSync } from 'node:fs'
import { unblocking } from './unblocking.ts'

/** So much of the log waits for whoever takes it away. */
export const MAX_WAITING_BYTES = 256 * 1024
/** How often it is looked whether it can be written again. */
const RETRY_INTERVAL_MS = 100
/** How long the last words before an end may hold it up. */
const LAST_WORDS_MS = 1_000
const LAST_WORDS_PAUSE_MS = 10

/** Where lines go. */
export interface LogOutput {
  /** Writes a line at once, if it can be written without waiting; else it waits, and the program does not. */
  readonly write: (line: string) => void
  /** Writes what waits, for up to a second. For the end of a program alone: it stops the event loop. */
  readonly flushSync: () => void
}

/**
 * Lines on a file descriptor.
 *
 * What nobody takes away waits in memory. When too much waits, the oldest lines are dropped, as the last ones say how it ended; `lostLine`
 * then stands in their place.
 */
export function logOutput(fd: number, lostLine: (lines: number) => string): LogOutput {
  const target = unblocking(fd)
  /** The first one may have been written in part. */
  const waiting: Buffer[] = []
  let waitingBytes = 0
  /** Lines that were dropped behind the first one. */
  let lost = 0
  let timer: NodeJS.Timeout | undefined

  /** @returns whether all of it is written. */
  const writeNow = (): boolean => {
    try {
      for (let part = waiting[0]; part !== undefined; part = waiting[0]) {
        const written = writeSync(target.fd, part)
        waitingBytes -= written
        if (written < part.byteLength) waiting[0] = part.subarray(written)
        else takeNext()
      }
      return true
    } catch {
      return false // full, or nobody is there: either may pass
    }
  }

  /** Goes on to the second line; if lines were lost before it, to the line that says so. */
  const takeNext = (): void => {
    waiting.shift()
    if (lost === 0) return
    const told = Buffer.from(lostLine(lost))
    lost = 0
    waiting.unshift(told)
    waitingBytes += told.byteLength
  }

  const add = (line: Buffer): void => {
    waiting.push(line)
    waitingBytes += line.byteLength
    if (waitingBytes <= MAX_WAITING_BYTES) return
    let dropped = 1
    // The first one stays: half of it may have been read.
    for (; waitingBytes > MAX_WAITING_BYTES && dropped < waiting.length; dropped += 1) {
      waitingBytes -= waiting[dropped]?.byteLength ?? 0
    }
    lost += dropped - 1
    waiting.splice(1, dropped - 1)
  }

  const retry = (): void => {
    if (writeNow()) stopRetrying()
  }

  const flushSync = (): void => {
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let left = LAST_WORDS_MS; left > 0 && !writeNow(); left -= LAST_WORDS_PAUSE_MS) {
      Atomics.wait(pause, 0, 0, LAST_WORDS_PAUSE_MS)
    }
  }

  const startRetrying = (): void => {
    if (timer !== undefined) return
    // It must not keep the program from ending; the end itself gives it a last chance.
    timer = setInterval(retry, RETRY_INTERVAL_MS).unref()
    process.on('exit', flushSync)
  }

  const stopRetrying = (): void => {
    if (timer === undefined) return
    clearInterval(timer)
    timer = undefined
    process.off('exit', flushSync)
  }

  return {
    write: line => {
      add(Buffer.from(line))
      if (writeNow()) stopRetrying()
      else startRetrying()
    },
    flushSync,
  }
}
