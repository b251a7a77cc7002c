import { OpenBaoError } from './error.ts'

/** How long something may take in all, and who may end the waiting. */
export interface Limits {
  /** What is waited for, to begin the message with. */
  readonly what: string
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** A signal with a deadline. To be disposed of: else its timer goes on, and each of thousands of calls leaves one behind. */
export interface Limit extends Disposable {
  /** Fires at the deadline, or with the caller's signal and for its reason. */
  readonly signal: AbortSignal
  /** Whether the deadline has passed before the caller left. */
  readonly isOver: () => boolean
}

export function openLimit({ timeoutMs, signal }: Omit<Limits, 'what'>): Limit {
  const controller = new AbortController()
  let isOver = false
  const onAbort = (): void => {
    controller.abort(signal.reason)
  }
  const timer = setTimeout(() => {
    isOver = !controller.signal.aborted
    controller.abort(new DOMException(`${timeoutMs} ms have passed`, 'TimeoutError'))
  }, timeoutMs)
  timer.unref()
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  return {
    signal: controller.signal,
    isOver: () => isOver,
    [Symbol.dispose]: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    },
  }
}

/**
 * Runs several steps under one deadline. A timeout is told as one, and not as a cancellation, whichever step it hit.
 *
 * @param run - not called for a caller who has left already. Its signal fires at the deadline or with the caller's; if it does not
 *   heed that, it is left behind.
 * @throws {@link OpenBaoError} `OPENBAO_TIMEOUT`, `OPENBAO_CANCELLED`; and what `run` throws.
 */
export async function withDeadline<T>(limits: Limits, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { what, timeoutMs, signal } = limits
  if (hasLeft(signal)) throw cancelledBy(signal.reason, what)
  using limit = openLimit(limits)
  try {
    return await waitFor(run(limit.signal), limit.signal)
  } catch (cause) {
    if (!isCancellation(cause)) throw cause
    if (hasLeft(signal)) throw cancelledBy(cause, what)
    if (!limit.isOver()) throw cause
    throw new OpenBaoError('OPENBAO_TIMEOUT', `${what}: not done in ${timeoutMs} ms`, { cause })
  }
}

/**
 * Waits for what others wait for, too: a signal ends our waiting alone.
 *
 * @throws {@link OpenBaoError} `OPENBAO_CANCELLED` if the signal fires first; and what `promise` is rejected with.
 */
export async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => {
    aborted.reject(new OpenBaoError('OPENBAO_CANCELLED', 'the waiting was ended', { cause: signal.reason }))
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (signal.aborted) onAbort()
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** What is left until a moment, in whole milliseconds: 1 at least, for that is what timers take. */
export function leftMs(deadlineMs: number, nowMs: number): number {
  return Math.max(Math.ceil(deadlineMs - nowMs), 1)
}

/** A call, since TypeScript takes a signal that was looked at once for one that never changes. */
function hasLeft({ aborted }: AbortSignal): boolean {
  return aborted
}

function cancelledBy(cause: unknown, what: string): OpenBaoError {
  return new OpenBaoError('OPENBAO_CANCELLED', `${what}: cancelled by the caller`, { cause })
}

/** What a step says that was told to stop: ours, or the platform's own. */
function isCancellation(error: unknown): boolean {
  if (error instanceof OpenBaoError) return error.code === 'OPENBAO_CANCELLED'
  return (
    typeof error === 'object' &&
    error !== null &&
    'name' in error &&
    /^(?:Abort|Timeout)Error$/.test(String(error.name))
  )
}
