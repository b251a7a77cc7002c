import { OpenBaoError } from '../error.ts'
import { type Call, type Send } from '../transport.ts'
import { type Clock } from './clock.ts'
import { parseTerms } from './grant.ts'
import { type Lease, type LeaseTimes, postponed, renewedTimes, unrefreshed } from './lease.ts'

/**
 * Renews a token by itself, where that can be done.
 *
 * @returns the new times of the lease. `renewable` is false from now on where OpenBao does not allow it (403: the policy, 400:
 *   the token, 500: its age) and where it gained nothing. A failure of any other kind means: later.
 */
export async function renewLease(send: Send, clock: Clock, { held, times }: Lease, call: Call): Promise<LeaseTimes> {
  if (!times.renewable) return times
  const askedAtMs = clock.nowMs()
  try {
    const answer = await held.use(
      async token =>
        await send({ method: 'POST', path: 'auth/token/renew-self', call: { ...call, token }, expected: [200] }),
    )
    return renewedTimes(times, askedAtMs, parseTerms(answer))
  } catch (error) {
    return isFinal(error) ? unrefreshed(times) : postponed(times, clock.nowMs())
  }
}

/** Gives a token back. Whether that worked does not matter: it may not be allowed, and the token ends by itself. */
export async function revokeLease(send: Send, { held }: Lease, call: Call): Promise<void> {
  try {
    await held.use(
      async token =>
        await send({ method: 'POST', path: 'auth/token/revoke-self', call: { ...call, token }, expected: [204] }),
    )
  } catch (error) {
    if (!(error instanceof OpenBaoError)) throw error
  }
}

/** What OpenBao 2.7.2 says, with status 500, to a token at the end of all renewals (`explicit_max_ttl`, `token_max_ttl`). */
const PAST_THE_END = 'cannot renew'

function isFinal(error: unknown): boolean {
  if (!(error instanceof OpenBaoError)) return false
  if (error.code === 'OPENBAO_PERMISSION_DENIED' || error.code === 'OPENBAO_BAD_REQUEST') return true
  return error.code === 'OPENBAO_STATUS' && error.serverErrors.some(text => text.includes(PAST_THE_END))
}
