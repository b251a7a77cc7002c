import { type Secret } from '@sealwright/secret'
import { waitFor, withDeadline } from '../deadline.ts'
import { OpenBaoError } from '../error.ts'
import { type Call, type Send } from '../transport.ts'
import { acquireBy } from './acquire.ts'
import { type AuthMethod } from './auth-method.ts'
import { type Clock } from './clock.ts'
import { type Lease, postponed, unrefreshed } from './lease.ts'
import { renewLease, revokeLease } from './renew.ts'

/** A token this young that is denied something is denied it by its policy: another login would not help. */
const YOUNG_MS = 5_000
/** How long closing may take: for a renewal under way, and to revoke a token that nobody needs any more. */
const CLOSE_TIMEOUT_MS = 2_000
/** `setTimeout` takes 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface TokenSourceOptions {
  readonly auth: AuthMethod
  readonly send: Send
  readonly clock: Clock
  /** Limit of one login or renewal, credential and all, in milliseconds. */
  readonly timeoutMs: number
  /** For how long a token from a file is used before the file is read again, in milliseconds, unless it is denied. Default: 0. */
  readonly rereadAfterMs?: number
  /** For how long a login that was refused is not tried again, but answered with the same error, in milliseconds. Default: 0. */
  readonly holdRefusalMs?: number
}

export interface UseOptions {
  /** Ends the caller's waiting. A login that others may wait for goes on. */
  readonly signal: AbortSignal
  /** Whether `OPENBAO_PERMISSION_DENIED` may mean an expired token, to be replaced once. Default: yes. */
  readonly loginAgain?: boolean
}

/** Tokens for the calls of one program: however many wait, there is one login at a time. */
export interface TokenSource {
  /**
   * Lends a token to one call, after a login if there is none. If the call ends with `OPENBAO_PERMISSION_DENIED` and another
   * token is to be had, it is called once more with that one.
   *
   * @throws {@link OpenBaoError} what the login throws, see `openLogin`; `OPENBAO_CANCELLED` after {@link TokenSource.close};
   *   and what `use` throws.
   */
  readonly withToken: <T>(use: (token: Secret) => Promise<T>, options: UseOptions) => Promise<T>
  /** Ends renewals, and revokes a token of our own. Takes 2 seconds at most; what OpenBao says to it does not matter. */
  readonly close: () => Promise<void>
}

/**
 * Opens a source of tokens. Nothing is read or sent before the first use.
 *
 * A token is renewed after two thirds of its life, used or not, and replaced by a new login where that does not help. Its
 * policies need not allow renewing or revoking. A token from a file is read again at each use, and renewed from the first one.
 */
export function openTokenSource(options: TokenSourceOptions): TokenSource {
  const { auth, send, clock, timeoutMs, rereadAfterMs = 0, holdRefusalMs = 0 } = options
  const acquire = acquireBy(auth, send, clock)
  const isFromFile = auth.method === 'token'
  const closing = new AbortController()
  let current: Lease | undefined
  let acquiring: Promise<Lease> | undefined
  let refreshing: Promise<void> | undefined
  let closed: Promise<void> | undefined
  let cancelTimer = (): void => undefined
  let readAtMs = -Infinity
  let refusal: { readonly error: unknown; readonly untilMs: number } | undefined

  const limited = async <T>(what: string, run: (call: Call) => Promise<T>): Promise<T> =>
    await withDeadline({ what, timeoutMs, signal: closing.signal }, async signal => await run({ signal, timeoutMs }))

  const acquireOne = async (): Promise<Lease> => {
    const askedAtMs = clock.nowMs()
    if (refusal !== undefined && askedAtMs < refusal.untilMs) throw refusal.error
    const lease = await limited('login', async call => await acquire(current, call)).catch((error: unknown) => {
      if (isRefusal(error)) refusal = { error, untilMs: clock.nowMs() + holdRefusalMs }
      throw error
    })
    readAtMs = askedAtMs
    if (lease === current) return lease
    current?.held.giveUp()
    current = lease
    schedule(lease)
    return lease
  }

  /** One at a time, for all who wait. */
  const obtain = async (): Promise<Lease> => {
    acquiring ??= acquireOne().finally(() => {
      acquiring = undefined
    })
    return await acquiring
  }

  const schedule = (lease: Lease): void => {
    cancelTimer()
    const { refreshAtMs } = lease.times
    if (closed !== undefined || refreshAtMs === Infinity) return
    const delayMs = Math.min(Math.max(refreshAtMs - clock.nowMs(), 0), MAX_TIMER_MS)
    cancelTimer = clock.after(delayMs, () => {
      if (clock.nowMs() < refreshAtMs) schedule(lease)
      else refresh(lease)
    })
  }

  const refresh = (lease: Lease): void => {
    refreshing ??= refreshOne(lease).finally(() => {
      refreshing = undefined
      if (current !== undefined) schedule(current)
    })
  }

  const refreshOne = async (lease: Lease): Promise<void> => {
    if (lease !== current) return
    lease.times = await limited('renewal', async call => await renewLease(send, clock, lease, call)).catch(() =>
      postponed(lease.times, clock.nowMs()),
    )
    if (lease.times.renewable) return
    if (isFromFile) {
      lease.times = unrefreshed(lease.times)
      return
    }
    // While the old token still works: so an outage of what checks the credential is survived.
    await obtain().catch(() => {
      lease.times = postponed(lease.times, clock.nowMs())
    })
  }

  /** A token that should work, as far as one can know; undefined if one has to be obtained first. */
  const ready = (): Lease | undefined => {
    const nowMs = clock.nowMs()
    if (current === undefined || nowMs >= current.times.expiresAtMs) return undefined
    if (isFromFile) return nowMs - readAtMs < rereadAfterMs ? current : undefined
    // The timer is late where the machine slept.
    if (nowMs >= current.times.refreshAtMs) refresh(current)
    return current
  }

  /** Another token than the one that was denied something; undefined if there is no better one. */
  const replacementOf = async (denied: Lease): Promise<Lease | undefined> => {
    if (current !== undefined && current !== denied) return current
    if (!isFromFile && clock.nowMs() - denied.obtainedAtMs < YOUNG_MS) return undefined
    const other = await obtain()
    return other === denied ? undefined : other
  }

  const lend = async <T>(lease: Lease, use: (token: Secret) => Promise<T>): Promise<T> => {
    if (closed !== undefined) throw closedError()
    // It may have been replaced between our waking up and now.
    return await (current ?? lease).held.use(use)
  }

  const closeOnce = async (): Promise<void> => {
    cancelTimer()
    const limit = AbortSignal.timeout(CLOSE_TIMEOUT_MS)
    limit.addEventListener('abort', () => {
      closing.abort()
    })
    await Promise.allSettled([acquiring, refreshing])
    if (current !== undefined && !isFromFile) {
      await revokeLease(send, current, { signal: limit, timeoutMs: CLOSE_TIMEOUT_MS })
    }
    closing.abort()
    current?.held.giveUp()
  }

  return {
    withToken: async (use, { signal, loginAgain = true }) => {
      if (closed !== undefined) throw closedError()
      const lease = ready() ?? (await waitFor(obtain(), signal))
      try {
        return await lend(lease, use)
      } catch (error) {
        if (!loginAgain || !isDenied(error)) throw error
        const other = await waitFor(replacementOf(lease), signal)
        if (other === undefined) throw error
        return await lend(other, use)
      }
    },
    close: async () => {
      await (closed ??= closeOnce())
    },
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof OpenBaoError && error.code === 'OPENBAO_PERMISSION_DENIED'
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof OpenBaoError)) return false
  return error.code === 'OPENBAO_LOGIN_REFUSED' || error.code === 'OPENBAO_SECRET_ID_REFUSED'
}

function closedError(): OpenBaoError {
  return new OpenBaoError('OPENBAO_CANCELLED', 'the source of tokens is closed')
}
