import { setTimeout as sleep } from 'node:timers/promises'
import { RigError } from './error.ts'

export interface WaitOptions {
  /** What is waited for, to finish the sentence "waited 5000 ms for …". */
  readonly what: string
  readonly timeoutMs: number
  /** Pause between two looks. */
  readonly intervalMs?: number
  readonly signal?: AbortSignal
  /** Called once when the time is over: more facts for the error, such as the end of a log. */
  readonly describe?: () => string
}

/** What a condition answers while it is not true yet. */
export type NotYet = false | null | undefined

/**
 * Looks again and again until `condition` gives something else than `false`, `null` or `undefined`, and returns that.
 *
 * A condition that throws ends the waiting with its error: "not there yet" is an answer, not an exception.
 * A condition that never answers is left at the deadline; its own signal tells it so.
 *
 * @throws {@link RigError} `RIG_TIMEOUT` after `timeoutMs`, `RIG_CANCELLED` if `signal` fires first.
 */
export async function waitUntil<T>(
  condition: (signal: AbortSignal) => T | NotYet | Promise<T | NotYet>,
  options: WaitOptions,
): Promise<T> {
  const { what, timeoutMs, intervalMs = 20, signal } = options
  const deadline = new AbortController()
  const limit = signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal])
  // Not AbortSignal.timeout: its timer cannot be cleared, and thousands of short waits would leave as many behind.
  const timer = setTimeout(() => {
    deadline.abort()
  }, timeoutMs)
  const ended = Promise.withResolvers<never>()
  const onAbort = (): void => {
    ended.reject(waitError(options))
  }
  limit.addEventListener('abort', onAbort, { once: true })
  // The rejection is also seen by every race below; this keeps it from counting as unhandled between two of them.
  ended.promise.catch(() => undefined)
  try {
    if (limit.aborted) throw waitError(options)
    for (;;) {
      const answer = await Promise.race([condition(limit), ended.promise])
      if (answer !== false && answer !== null && answer !== undefined) return answer
      await Promise.race([sleep(intervalMs), ended.promise])
    }
  } finally {
    clearTimeout(timer)
    limit.removeEventListener('abort', onAbort)
  }

  function waitError({ describe }: WaitOptions): RigError {
    if (signal?.aborted) return new RigError('RIG_CANCELLED', `stopped waiting for ${what}`, { cause: signal.reason })
    const facts = describe === undefined ? '' : `\n${describe()}`
    return new RigError('RIG_TIMEOUT', `waited ${timeoutMs} ms for ${what}${facts}`)
  }
}
