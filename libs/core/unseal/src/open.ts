import { type SealFailure } from './health.ts'

/** A seal that can be asked to open the keyring. */
export interface NamedSeal<Opened> {
  readonly name: string
  /** Lower is tried first. */
  readonly priority: number
  /** Opens the keyring through this seal, within the seal's own deadline. */
  open(signal: AbortSignal): Promise<Opened>
}

/** One try of one seal, as told to metrics and logs. */
export type SealAttempt =
  | { readonly kind: 'opened'; readonly sealName: string; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly sealName: string; readonly tookMs: number; readonly failure: SealFailure }

export type OpenOutcome<Opened> =
  | { readonly kind: 'opened'; readonly sealName: string; readonly opened: Opened }
  | { readonly kind: 'not-opened'; readonly failures: readonly (SealFailure & { readonly sealName: string })[] }

export interface OpenByPriorityOptions {
  readonly signal: AbortSignal
  /** Milliseconds of a steady clock. */
  readonly now: () => number
  /** Turns what `open` threw into a failure. Anything it does not know it must throw again. */
  readonly classify: (error: unknown) => SealFailure
  readonly onAttempt: (attempt: SealAttempt) => void
}

/**
 * Tries the seals one after another by priority; the first that opens wins.
 *
 * A seal that fails does not stop the next one; only `signal` does. It hides the failures that it brings about, but not one that
 * only an operator can mend: were it forgotten, the next caller would try again and do harm.
 */
export async function openByPriority<Opened>(
  seals: readonly NamedSeal<Opened>[],
  { signal, now, classify, onAttempt }: OpenByPriorityOptions,
): Promise<OpenOutcome<Opened>> {
  const failures: (SealFailure & { sealName: string })[] = []
  for (const seal of [...seals].sort((a, b) => a.priority - b.priority)) {
    const startedAtMs = now()
    try {
      const opened = await seal.open(signal)
      onAttempt({ kind: 'opened', sealName: seal.name, tookMs: now() - startedAtMs })
      return { kind: 'opened', sealName: seal.name, opened }
    } catch (error) {
      const failure = signal.aborted ? harmfulFailure(error, classify) : classify(error)
      if (failure !== undefined) {
        onAttempt({ kind: 'failed', sealName: seal.name, tookMs: now() - startedAtMs, failure })
        failures.push({ ...failure, sealName: seal.name })
      }
      signal.throwIfAborted()
    }
  }
  return { kind: 'not-opened', failures }
}

/** What `error` says about the seal although somebody has given up on it; `undefined` if nothing has to be remembered. */
function harmfulFailure(error: unknown, classify: (error: unknown) => SealFailure): SealFailure | undefined {
  try {
    const failure = classify(error)
    return failure.kind === 'operator' ? failure : undefined
  } catch {
    // No failure of a seal: most likely the abort itself, which is thrown next.
    return undefined
  }
}
