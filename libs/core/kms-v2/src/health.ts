import { KmsError } from './errors.ts'

/** What the probes of a backend have found so far. Times are of a steady clock, in milliseconds. */
export interface ProbeHistory {
  /** When a whole probe last passed; null before the first. */
  readonly lastPassedAtMs: number | null
  /** In a row, up to now. */
  readonly failures: number
  /** Of the last failure: a code and words that may go to kube-apiserver. */
  readonly lastFailure: string | null
}

export interface HealthPolicy {
  /** So many failures in a row make ill: one may be a node that is being restarted. */
  readonly unhealthyAfterFailures: number
  /** No probe has passed for so long, whatever the reason: then nobody knows. */
  readonly staleAfterMs: number
}

/** Before the first probe. */
export const NO_PROBES: ProbeHistory = { lastPassedAtMs: null, failures: 0, lastFailure: null }

export function probePassed(nowMs: number): ProbeHistory {
  return { lastPassedAtMs: nowMs, failures: 0, lastFailure: null }
}

export function probeFailed(history: ProbeHistory, error: unknown): ProbeHistory {
  return { ...history, failures: history.failures + 1, lastFailure: describeFailure(error) }
}

/** What is wrong with the backend, in words for kube-apiserver; null if nothing is known to be. */
export function illnessOf(
  { lastPassedAtMs, failures, lastFailure }: ProbeHistory,
  { nowMs, policy }: { readonly nowMs: number; readonly policy: HealthPolicy },
): string | null {
  if (failures >= policy.unhealthyAfterFailures || (lastPassedAtMs === null && failures > 0)) {
    return lastFailure ?? 'KMS_BACKEND_UNAVAILABLE: the backend was not reached'
  }
  if (lastPassedAtMs === null) return 'KMS_NOT_READY: the backend has not been tried yet'
  const ageMs = nowMs - lastPassedAtMs
  if (ageMs <= policy.staleAfterMs) return null
  return `KMS_BACKEND_UNAVAILABLE: the backend was last seen to work ${Math.round(ageMs / 1_000)} s ago`
}

function describeFailure(error: unknown): string {
  return error instanceof KmsError ? `${error.code}: ${error.message}` : 'a fault of the KMS plugin: see its log'
}
