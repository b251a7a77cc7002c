import { Pkcs11Error } from './errors.ts'

/** The limit of one operation: our own time and the caller's patience, told apart. */
export type Deadline = {
  readonly timeoutMs: number
  /** Fires for either reason. */
  readonly signal: AbortSignal
  /** Whether the caller gave up, rather than our time being over. */
  isCancelled(): boolean
  /** Why it fired: `PKCS11_CANCELLED` if the caller gave up, else `PKCS11_TIMEOUT`. */
  error(doing: string): Pkcs11Error
}

/**
 * Starts the clock for one operation.
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT` for no time at all, `PKCS11_CANCELLED` if the caller has given up already.
 */
export function startDeadline(timeoutMs: number, cancel: AbortSignal): Deadline {
  if (!Number.isInteger(timeoutMs) || timeoutMs <= 0) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `timeoutMs must be a positive whole number, not ${timeoutMs}`)
  }
  const timeout = AbortSignal.timeout(timeoutMs)
  const deadline: Deadline = {
    timeoutMs,
    signal: AbortSignal.any([cancel, timeout]),
    isCancelled: () => cancel.aborted,
    error: doing =>
      cancel.aborted
        ? new Pkcs11Error('PKCS11_CANCELLED', `cancelled while ${doing}`, { cause: cancel.reason })
        : new Pkcs11Error('PKCS11_TIMEOUT', `${doing} took longer than ${timeoutMs} ms`, { cause: timeout.reason }),
  }
  if (cancel.aborted) throw deadline.error('waiting to begin')
  return deadline
}

/** The outcome of `work`, which goes on, or the error of a deadline that is over before it. */
export async function within<T>(work: Promise<T>, deadline: Deadline, doing: string): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => {
    reject(deadline.error(doing))
  }
  if (deadline.signal.aborted) onAbort()
  deadline.signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, over])
  } finally {
    deadline.signal.removeEventListener('abort', onAbort)
  }
}
