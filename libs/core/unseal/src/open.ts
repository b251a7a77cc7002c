import { type SealFailure } from './health.ts'

/** A seal that can be asked to open the keyring. */
export interface NamedSeal<Opened> {
  readonly name: string
  /** Lower is tried first. */
  readonly priority: number
  /** Opens the keyring through this seal, within the seal's own deadline. */
  open(signal: AbortSignal): Promise<Opened>
  /**
   * Starts what opening takes time for and nobody's device is asked for, such as a process. It may be for nothing; what fails in it is
   * left to `open` to say.
   */
  prepare?(): void
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
  /** Calls `run` after so many milliseconds, unless what it returns is called before. Left out: no seal is told to prepare. */
  readonly after?: (delayMs: number, run: () => void) => () => void
  /** Turns what `open` threw into a failure. Anything it does not know it must throw again. */
  readonly classify: (error: unknown) => SealFailure
  readonly onAttempt: (attempt: SealAttempt) => void
}

/** A seal that takes so long may hang, and the next one gets ready. */
const SLOW_MS = 250

/**
 * Tries the seals one after another by priority; the first that opens wins. While one is slow, the next is told to prepare.
 *
 * A seal that fails does not stop the next one; only `signal` does. It hides the failures that it brings about, but not one that
 * only an operator can mend: were it forgotten, the next caller would try again and do harm.
 */
export async function openByPriority<Opened>(
  seals: readonly NamedSeal<Opened>[],
  { signal, now, after, classify, onAttempt }: OpenByPriorityOptions,
): Promise<OpenOutcome<Opened>> {
  const failures: (SealFailure & { sealName: string })[] = []
  const byPriority = [...seals].sort((a, b) => a.priority - b.priority)
  for (const [index, seal] of byPriority.entries()) {
    const startedAtMs = now()
    const cancelPreparing = after?.(SLOW_MS, () => byPriority[index + 1]?.prepare?.())
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
    } finally {
      cancelPreparing?.()
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
