import { type LeaseTerms } from './grant.ts'
import { type HeldToken } from './held-token.ts'

/** After which part of its life a token is renewed: a third is left for an outage. */
const REFRESH_AFTER = 2 / 3
/** A renewal that adds less than this part of the lease has met the end of all renewals (`explicit_max_ttl`). */
const LEAST_GAIN = 1 / 10
/** Pauses between tries of a renewal that does not get through. */
const MIN_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 60_000

/** When a lease is over, and when something should be done about it, by the clock of the token source. */
export interface LeaseTimes {
  /** Infinity: nothing to do. */
  readonly refreshAtMs: number
  /** Infinity: never, or not known. */
  readonly expiresAtMs: number
  readonly renewable: boolean
}

/** A token and its life. */
export interface Lease {
  readonly held: HeldToken
  readonly obtainedAtMs: number
  times: LeaseTimes
}

/**
 * The times of a lease that was granted.
 *
 * @param askedAtMs - when it was asked for: it cannot have begun before, so we are never too late.
 */
export function leaseTimes(askedAtMs: number, { leaseMs, renewable }: LeaseTerms): LeaseTimes {
  if (leaseMs === 0) return { refreshAtMs: Infinity, expiresAtMs: Infinity, renewable: false }
  return { refreshAtMs: askedAtMs + leaseMs * REFRESH_AFTER, expiresAtMs: askedAtMs + leaseMs, renewable }
}

/** The times of a token from a file, of which nothing is known: renewing it tells. */
export function unknownTimes(nowMs: number): LeaseTimes {
  return { refreshAtMs: nowMs, expiresAtMs: Infinity, renewable: true }
}

/** The times after a renewal. One that gained next to nothing is the last; one of 0 seconds is the last, too, and not for ever. */
export function renewedTimes(old: LeaseTimes, askedAtMs: number, terms: LeaseTerms): LeaseTimes {
  if (!Number.isFinite(old.expiresAtMs)) return leaseTimes(askedAtMs, terms)
  const gainMs = askedAtMs + terms.leaseMs - old.expiresAtMs
  if (terms.leaseMs > 0 && gainMs >= terms.leaseMs * LEAST_GAIN) return leaseTimes(askedAtMs, terms)
  return { ...old, refreshAtMs: askedAtMs, renewable: false }
}

/** The times after a try that did not get through: half of what is left, so that tries get denser and end with the lease. */
export function postponed(times: LeaseTimes, nowMs: number): LeaseTimes {
  const pauseMs = Math.min(Math.max((times.expiresAtMs - nowMs) / 2, MIN_PAUSE_MS), MAX_PAUSE_MS)
  const refreshAtMs = nowMs + pauseMs
  return { ...times, refreshAtMs: refreshAtMs < times.expiresAtMs ? refreshAtMs : Infinity }
}

/** The times of a lease that nothing can prolong. */
export function unrefreshed(times: LeaseTimes): LeaseTimes {
  return { ...times, refreshAtMs: Infinity, renewable: false }
}
