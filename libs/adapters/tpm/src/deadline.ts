import { TpmError } from './errors.ts'

/** The limit of one operation: our own time and the caller's patience, told apart. */
export type Deadline = {
  /** Fires for either reason. */
  readonly signal: AbortSignal
  /** Why it fired: `TPM_CANCELLED` if the caller gave up, else `TPM_TIMEOUT`. */
  error(doing: string): TpmError
  /** @throws {@link TpmError} what {@link Deadline.error} returns, if it has fired. */
  assertNotOver(doing: string): void
}

/**
 * Starts the clock for one operation.
 *
 * @param cancel - the caller's signal, if there is one.
 */
export function startDeadline(timeoutMs: number, cancel?: AbortSignal): Deadline {
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = cancel ? AbortSignal.any([cancel, timeout]) : timeout
  const error = (doing: string): TpmError =>
    cancel?.aborted === true
      ? new TpmError('TPM_CANCELLED', `cancelled while ${doing}`, { cause: cancel.reason })
      : new TpmError('TPM_TIMEOUT', `${doing} took longer than ${timeoutMs} ms`, { cause: timeout.reason })
  return {
    signal,
    error,
    assertNotOver: doing => {
      if (signal.aborted) throw error(doing)
    },
  }
}
