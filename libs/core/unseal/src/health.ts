/**
 * What a failed attempt means for the next one.
 * - `transient`: may pass by itself, try again soon;
 * - `permanent`: will not pass by itself, yet trying again does no harm and notices a repair;
 * - `operator`: trying again could do harm (a wrong PIN counts towards a lockout): wait for somebody.
 */
export type FailureKind = 'transient' | 'permanent' | 'operator'

/** One failed attempt to open by a seal. */
export interface SealFailure {
  /** Stable code of the failure, such as `TPM_UNREACHABLE`. */
  readonly code: string
  readonly message: string
  readonly kind: FailureKind
}

/** What is known of one seal. Only a real unwrap makes it `healthy`. */
export type SealHealth =
  | { readonly kind: 'untried' }
  | { readonly kind: 'healthy'; readonly unwrappedAtMs: number; readonly tookMs: number }
  | {
      readonly kind: 'failing'
      readonly failure: SealFailure
      /** When the first of the failures in a row happened. */
      readonly sinceMs: number
      readonly failuresInARow: number
    }

export type SealEvent =
  | { readonly kind: 'unwrapped'; readonly atMs: number; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly atMs: number; readonly failure: SealFailure }
  /** An operator changed something (new configuration, a PIN file mended): earlier failures no longer count. */
  | { readonly kind: 'reloaded' }

/** The health of a seal after `event`. */
export function nextSealHealth(health: SealHealth, event: SealEvent): SealHealth {
  switch (event.kind) {
    case 'unwrapped':
      return { kind: 'healthy', unwrappedAtMs: event.atMs, tookMs: event.tookMs }
    case 'failed':
      return {
        kind: 'failing',
        failure: event.failure,
        sinceMs: health.kind === 'failing' ? health.sinceMs : event.atMs,
        failuresInARow: health.kind === 'failing' ? health.failuresInARow + 1 : 1,
      }
    case 'reloaded':
      return health.kind === 'failing' ? { kind: 'untried' } : health
  }
}

/** Whether the agent may try this seal without somebody asking for it. */
export function mayTry(health: SealHealth): boolean {
  return health.kind !== 'failing' || health.failure.kind !== 'operator'
}
