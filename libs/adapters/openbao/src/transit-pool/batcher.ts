import { type Clock } from '../auth/clock.ts'
import { leftMs } from '../deadline.ts'
import { OpenBaoError } from '../error.ts'
import { type ItemHead, type Outcome } from './batch-messages.ts'

/** So many batches may be under way before anything waits: one more keeps the server busy while we read an answer. */
const EAGER_BATCHES = 2
/** So many at most. With more of them a slow server would be asked for less at a time, and no faster. */
const MAX_BATCHES = 4
/** How long a call waits for company while batches are under way, if the server takes longer than this to answer. */
const LINGER_MS = 2

/** What a batch is made of: items of one operation. */
export interface BatchedItem<T> {
  /** Ours from now on: wiped once it is sent, or will not be. */
  readonly head: ItemHead
  /** Reads the result. */
  readonly expected: T
}

/** How a batch may end: for all at once by throwing, else for each item. */
export interface BatchCall {
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal
  /** Until the last of its callers gives up. */
  readonly timeoutMs: number
}

export interface BatcherOptions<T, R> {
  /** The operation, to begin messages with. */
  readonly what: string
  /** Items in one batch. */
  readonly maxItems: number
  readonly timeoutMs: number
  readonly clock: Clock
  readonly exchange: (items: readonly BatchedItem<T>[], call: BatchCall) => Promise<readonly Outcome<R>[]>
  /** Gets rid of a result whose caller has left. */
  readonly discard: (result: R) => void
}

/** Puts calls that come at the same time into one request. */
export interface Batcher<T, R> {
  /**
   * Adds a call. It is sent at once if nothing is under way.
   *
   * @throws {@link OpenBaoError} `OPENBAO_TIMEOUT`, `OPENBAO_CANCELLED`; and what became of it.
   */
  readonly add: (item: BatchedItem<T>, signal: AbortSignal) => Promise<R>
  /** Lets all calls fail with `OPENBAO_CANCELLED`. */
  readonly close: () => void
}

interface Entry<T, R> {
  readonly item: BatchedItem<T>
  readonly deadlineMs: number
  readonly settle: (outcome: Outcome<R>) => void
  /** What to do if its caller leaves: takes it out, or ends its batch if it was the last. */
  onLeave: () => void
}

export function openBatcher<T, R>(options: BatcherOptions<T, R>): Batcher<T, R> {
  const { what, maxItems, timeoutMs, clock, exchange, discard } = options
  const waiting = new Set<Entry<T, R>>()
  const live = new Set<Entry<T, R>>()
  let batches = 0
  let isPlanned = false
  let cancelLinger: (() => void) | undefined

  /** Sends once all calls that have come in by now are here: they are read from their sockets in one go. */
  const plan = (): void => {
    if (isPlanned || waiting.size === 0) return
    isPlanned = true
    setImmediate(() => {
      isPlanned = false
      if (waiting.size > 0 && batches < EAGER_BATCHES) flush()
      while (waiting.size >= maxItems && batches < MAX_BATCHES) flush()
      if (waiting.size > 0) linger()
    })
  }

  const linger = (): void => {
    cancelLinger ??= clock.after(LINGER_MS, () => {
      cancelLinger = undefined
      if (waiting.size > 0 && batches < MAX_BATCHES) flush()
    })
  }

  const flush = (): void => {
    cancelLinger?.()
    cancelLinger = undefined
    const entries: Entry<T, R>[] = []
    for (const entry of waiting) {
      if (entries.length === maxItems) break
      waiting.delete(entry)
      entries.push(entry)
    }
    batches += 1
    void sendBatch(entries).finally(() => {
      batches -= 1
      plan()
    })
  }

  const sendBatch = async (entries: readonly Entry<T, R>[]): Promise<void> => {
    const nobodyLeft = new AbortController()
    let left = 0
    for (const entry of entries) {
      entry.onLeave = () => {
        left += 1
        if (left === entries.length) nobodyLeft.abort()
      }
    }
    const deadlineMs = entries.reduce((latest, entry) => Math.max(latest, entry.deadlineMs), 0)
    const call = { signal: nobodyLeft.signal, timeoutMs: leftMs(deadlineMs, clock.nowMs()) }
    try {
      const outcomes = await exchange(
        entries.map(({ item }) => item),
        call,
      )
      for (const [index, outcome] of outcomes.entries()) entries[index]?.settle(outcome)
    } catch (error) {
      for (const entry of entries) entry.settle({ kind: 'failed', error })
    } finally {
      for (const { item } of entries) item.head.fill(0)
    }
  }

  const add: Batcher<T, R>['add'] = async (item, signal) => {
    const answer = Promise.withResolvers<R>()
    let isSettled = false
    const settle = (outcome: Outcome<R>): void => {
      if (isSettled) {
        if (outcome.kind === 'done') discard(outcome.value)
        return
      }
      isSettled = true
      cancelDeadline()
      signal.removeEventListener('abort', onAbort)
      live.delete(entry)
      if (outcome.kind === 'done') answer.resolve(outcome.value)
      else answer.reject(outcome.error)
    }
    const takeOut = (): void => {
      if (waiting.delete(entry)) item.head.fill(0)
    }
    const onAbort = (): void => {
      const message = `${what}: cancelled by the caller`
      settle({ kind: 'failed', error: new OpenBaoError('OPENBAO_CANCELLED', message, { cause: signal.reason }) })
      entry.onLeave()
    }
    const entry: Entry<T, R> = {
      item,
      deadlineMs: clock.nowMs() + timeoutMs,
      settle,
      onLeave: takeOut,
    }
    const cancelDeadline = clock.after(timeoutMs, () => {
      settle({ kind: 'failed', error: new OpenBaoError('OPENBAO_TIMEOUT', `${what}: not done in ${timeoutMs} ms`) })
      // A batch that is under way has the same limit, and finds out by it that the node failed.
      takeOut()
    })
    live.add(entry)
    waiting.add(entry)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    else plan()
    return await answer.promise
  }

  return {
    add,
    close: () => {
      cancelLinger?.()
      for (const entry of [...live]) {
        entry.settle({ kind: 'failed', error: new OpenBaoError('OPENBAO_CANCELLED', `${what}: it was closed`) })
        entry.onLeave()
      }
    },
  }
}
