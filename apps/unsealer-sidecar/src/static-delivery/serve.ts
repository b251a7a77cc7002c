import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Secret } from '@sealwright/secret'
import { type StaticDeliveryEvent } from './events.ts'
import { assertFileName, prepareFolder } from './folder.ts'
import { assertStaticKey, type UnwrapKey } from './key.ts'
import { type DeliveryPipe, type PipeReader, prepareDeliveryPipe } from './pipe.ts'

/** One pipe, and the key that comes out of it. */
export interface Delivery {
  /** Name of the pipe in the folder. */
  readonly fileName: string
  readonly keyId: string
}

export interface StaticDeliveryOptions {
  /** For the pipes alone. Made if it is missing; the folder above must exist. Bytes in a pipe never reach a disk, wherever it lies. */
  readonly directory: string
  readonly deliveries: readonly Delivery[]
  /** OpenBao's group, if it runs as another user. We must be a member of it, or root. */
  readonly groupId?: number
  /** The program that makes pipes. */
  readonly mkfifoPath?: string
  /** Resolves once a seal has opened. Until then nobody who reads is met, so that an agent that is restarted ends no OpenBao. */
  readonly untilOpen: (signal: AbortSignal) => Promise<void>
  readonly unwrapKey: UnwrapKey
  readonly onEvent: (event: StaticDeliveryEvent) => void
  /** Milliseconds of a steady clock. */
  readonly steadyNow: () => number
  /** Ends the delivery. The pipes stay: an OpenBao that starts meanwhile waits at them for the next agent. */
  readonly signal: AbortSignal
}

const FIRST_PAUSE_MS = 5
/** Longest time that OpenBao waits for us to look. */
const LONGEST_PAUSE_MS = 100
/** Pauses between two tries to unwrap, and after a failure of ours. */
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 5000
/** Most readers of one pipe who wait for a key at once. One is OpenBao; more are rare. */
const MAX_WAITING_READERS = 4

/**
 * Hands the seal key to each OpenBao that starts with `seal "static"` and `file://` on one of the pipes: 32 raw bytes, once to each
 * reader, unwrapped when it is read and wiped right after.
 *
 * @returns once the pipes are there. `ended` resolves after `signal` was aborted.
 * @throws {@link StaticDeliveryError} `STATIC_DELIVERY_NAME_INVALID`, `STATIC_DELIVERY_FOLDER_UNUSABLE`,
 *   `STATIC_DELIVERY_FOREIGN_FILE`, `STATIC_DELIVERY_MKFIFO_FAILED`, `STATIC_DELIVERY_IO_FAILED`.
 */
export async function serveStaticDelivery(options: StaticDeliveryOptions): Promise<{ readonly ended: Promise<void> }> {
  const { directory, deliveries, groupId, mkfifoPath = 'mkfifo' } = options
  for (const { fileName } of deliveries) assertFileName(fileName)
  await prepareFolder(directory, { groupId })
  const pipes: { readonly delivery: Delivery; readonly pipe: DeliveryPipe }[] = []
  for (const delivery of deliveries) {
    const pipe = await prepareDeliveryPipe(join(directory, delivery.fileName), { groupId, mkfifoPath })
    pipes.push({ delivery, pipe })
  }
  const ended = Promise.all(pipes.map(({ delivery, pipe }) => servePipe(delivery, pipe, options)))
  return { ended: ended.then(() => undefined) }
}

async function servePipe(delivery: Delivery, pipe: DeliveryPipe, options: StaticDeliveryOptions): Promise<void> {
  const { untilOpen, signal } = options
  await repeat(delivery, options, async () => {
    await untilOpen(signal)
    return 'done'
  })
  const waiting = new Set<Promise<void>>()
  let pauseMs = FIRST_PAUSE_MS
  await repeat(delivery, options, async () => {
    if (waiting.size >= MAX_WAITING_READERS) await Promise.race(waiting)
    const reader = await pipe.takeReader()
    if (reader === undefined) {
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      return pauseMs
    }
    const served = serveReader(delivery, reader, options).finally(() => waiting.delete(served))
    waiting.add(served)
    pauseMs = FIRST_PAUSE_MS
    return 0
  })
  await Promise.all(waiting)
}

/** Takes step after step, with the pause in milliseconds that each asks for. A failure is told and tried again, later each time. */
async function repeat(
  delivery: Delivery,
  { onEvent, signal }: StaticDeliveryOptions,
  step: () => Promise<number | 'done'>,
): Promise<void> {
  let retryMs = FIRST_RETRY_MS
  while (!isAborted(signal)) {
    try {
      const next = await step()
      if (next === 'done') return
      retryMs = FIRST_RETRY_MS
      if (next > 0) await pause(next, signal)
    } catch (cause) {
      if (isAborted(signal)) return
      onEvent({ kind: 'pipeFailed', ...delivery, cause })
      await pause(retryMs, signal)
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    }
  }
}

/** Serves one reader to the end. Never rejects. */
async function serveReader(delivery: Delivery, reader: PipeReader, options: StaticDeliveryOptions): Promise<void> {
  const { onEvent, steadyNow, signal } = options
  using attached = reader
  const cameAtMs = steadyNow()
  onEvent({ kind: 'readerCame', ...delivery })
  for (let pauseMs = FIRST_RETRY_MS; !isAborted(signal); pauseMs = Math.min(pauseMs * 2, LONGEST_RETRY_MS)) {
    try {
      const kind = await handOver(delivery, attached, options)
      onEvent(kind === 'delivered' ? { kind, ...delivery, waitedMs: steadyNow() - cameAtMs } : { kind, ...delivery })
      return
    } catch (cause) {
      if (isAborted(signal)) return
      onEvent({ kind: 'unwrapFailed', ...delivery, cause })
    }
    await pause(pauseMs, signal)
    if (!attached.isThere()) {
      onEvent({ kind: 'readerLeft', ...delivery })
      return
    }
  }
}

async function handOver(
  { keyId }: Delivery,
  reader: PipeReader,
  { unwrapKey, signal }: StaticDeliveryOptions,
): Promise<'delivered' | 'readerLeft' | 'keyUnknown'> {
  using key: Secret | undefined = await unwrapKey(keyId, signal)
  if (key === undefined) return 'keyUnknown'
  assertStaticKey(key)
  return reader.write(key) ? 'delivered' : 'readerLeft'
}

/** Ends early, without an error, when the signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}

/** A look of its own each time: the compiler would take the first answer for the last. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}
