import { type Secret } from '@sealwright/secret'
import { type Clock } from '../auth/clock.ts'
import { type TokenSource } from '../auth/token-source.ts'
import { leftMs, waitFor } from '../deadline.ts'
import { OpenBaoError } from '../error.ts'
import { type SecretJson } from '../secret-json.ts'
import { type Answer, type Send } from '../transport.ts'
import { batchNames, encodeBatch, type Outcome, parseBatch, plaintextsIn } from './batch-messages.ts'
import { type BatchCall, type BatchedItem } from './batcher.ts'

/** Pauses before a request that met a rate limit is sent again: from half of it to all of it. Each time twice as long. */
const FIRST_PAUSE_MS = 100
/** A quota of one request in a second lets the last of them through. */
const MAX_REPEATS = 3

export interface ExchangeOptions<T, R> {
  /** `transit/encrypt/NAME` or `transit/decrypt/NAME`. */
  readonly path: string
  readonly tokens: TokenSource
  readonly send: Send
  readonly clock: Clock
  readonly read: (answer: Answer, item: SecretJson, expected: T) => R
  readonly discard: (result: R) => void
}

/**
 * Makes what asks for one batch. It throws {@link OpenBaoError} for what is wrong with all items, never for what may be wrong with one of
 * them: then it asks again for halves of the batch, down to single items.
 */
export function batchExchange<T, R>(
  options: ExchangeOptions<T, R>,
): (items: readonly BatchedItem<T>[], call: BatchCall) => Promise<readonly Outcome<R>[]> {
  const { path, tokens, send, clock, read, discard } = options
  const nextName = batchNames()

  const askOnce = async (
    items: readonly BatchedItem<T>[],
    { signal, timeoutMs, secrets }: GuardedCall,
  ): Promise<readonly Outcome<R>[]> => {
    const { body, references } = encodeBatch(
      items.map(({ head }) => head),
      nextName(),
    )
    try {
      return await tokens.withToken(
        async (token: Secret) => {
          const call = { signal, timeoutMs, token }
          const answer = await send({ method: 'POST', path, body, call, expected: [200, 400], secrets })
          return parseBatch(answer, references, {
            read: (from, item, index) => read(from, item, expectedOf(items, index)),
            discard,
            secrets: () => [token, ...secrets()],
          })
        },
        { signal },
      )
    } finally {
      body.fill(0)
    }
  }

  /** A quota that is used up for now: a little later there may be room. */
  const askPatiently = async (items: readonly BatchedItem<T>[], call: GuardedCall): Promise<readonly Outcome<R>[]> => {
    const deadlineMs = clock.nowMs() + call.timeoutMs
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await askOnce(items, { ...call, timeoutMs: leftMs(deadlineMs, clock.nowMs()) })
      } catch (error) {
        if (!(error instanceof OpenBaoError) || error.code !== 'OPENBAO_RATE_LIMITED') throw error
        const pauseMs = FIRST_PAUSE_MS * 2 ** repeats * (0.5 + Math.random() / 2)
        if (repeats === MAX_REPEATS || clock.nowMs() + pauseMs >= deadlineMs) throw error
        await pause(clock, pauseMs, call.signal)
      }
    }
  }

  const ask = async (items: readonly BatchedItem<T>[], call: GuardedCall): Promise<readonly Outcome<R>[]> => {
    const deadlineMs = clock.nowMs() + call.timeoutMs
    try {
      return await askPatiently(items, call)
    } catch (error) {
      if (items.length === 1 || !mayBeOfOneItem(error)) throw error
      const middle = Math.ceil(items.length / 2)
      const halves = [items.slice(0, middle), items.slice(middle)]
      const rest = { ...call, timeoutMs: leftMs(deadlineMs, clock.nowMs()) }
      const outcomes = await Promise.all(halves.map(async half => await settled(half, ask(half, rest))))
      return outcomes.flat()
    }
  }

  return async (items, call) => {
    let plaintexts: readonly Secret[] | undefined
    const secrets = (): readonly Secret[] => (plaintexts ??= plaintextsIn(items.map(({ head }) => head)))
    try {
      return await ask(items, { ...call, secrets })
    } finally {
      for (const secret of plaintexts ?? []) secret.wipe()
    }
  }
}

/** A call whose errors show nothing of the whole batch, whichever part of it is asked. */
interface GuardedCall extends BatchCall {
  /** Read from the items when they are first needed: where all goes well, nobody asks. */
  readonly secrets: () => readonly Secret[]
}

/** A failure of a half is that of its items alone. */
async function settled<R>(
  items: readonly unknown[],
  asked: Promise<readonly Outcome<R>[]>,
): Promise<readonly Outcome<R>[]> {
  try {
    return await asked
  } catch (error) {
    return items.map(() => ({ kind: 'failed', error }))
  }
}

/** What OpenBao says of the whole where one item does not suit it, or where all of them together are too much. */
function mayBeOfOneItem(error: unknown): boolean {
  if (!(error instanceof OpenBaoError)) return false
  if (error.code === 'OPENBAO_BAD_REQUEST') return !saysOneOf(error, OF_THE_KEY)
  return error.status === 413 || (error.status === 500 && saysOneOf(error, OF_THE_ITEMS))
}

const OF_THE_KEY = /encryption key not found|soft-deleted key/
const OF_THE_ITEMS = /failed to parse batch input/

function saysOneOf({ serverErrors }: OpenBaoError, pattern: RegExp): boolean {
  return serverErrors.some(text => pattern.test(text))
}

function expectedOf<T>(items: readonly BatchedItem<T>[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new RangeError('a result without an item')
  return item.expected
}

async function pause(clock: Clock, pauseMs: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<undefined>()
  const cancel = clock.after(pauseMs, () => {
    over.resolve(undefined)
  })
  try {
    await waitFor(over.promise, signal)
  } finally {
    cancel()
  }
}
