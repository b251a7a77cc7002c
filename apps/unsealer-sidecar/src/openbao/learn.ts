import { setTimeout as delay } from 'node:timers/promises'
import { decodeSealBlob } from '@sealwright/seal-plugin'

export interface LearnDependencies {
  /** A blob that carries the leader's keyring; `undefined` if there is none to be had now. */
  readonly leaderBlob: (signal: AbortSignal) => Promise<Uint8Array | undefined>
  readonly absorb: (keyringBytes: Uint8Array, signal: AbortSignal) => Promise<void>
  /** The leader could not be asked, or gave something odd. */
  readonly onFailure: (error: unknown) => void
  readonly intervalMs: number
  /** 0 to 1, not including 1: spreads the questions of many nodes. */
  readonly random: () => number
}

/**
 * Asks the raft leader for its keyring at each interval, until `signal` is aborted. OpenBao hands blobs only to a node that unseals
 * or takes the lead: a standby would learn of a rotation years later, when it may need it at once.
 */
export async function keepLearning(dependencies: LearnDependencies, signal: AbortSignal): Promise<void> {
  const { intervalMs, random, onFailure } = dependencies
  for (;;) {
    try {
      await learnOnce(dependencies, signal)
    } catch (error) {
      signal.throwIfAborted()
      onFailure(error)
    }
    // Never two nodes in step for long: each question is one encryption for the leader.
    await delay(intervalMs * (0.75 + random() / 2), undefined, { signal })
  }
}

/** @throws what asking, reading and absorbing throw. */
export async function learnOnce(
  { leaderBlob, absorb }: Pick<LearnDependencies, 'leaderBlob' | 'absorb'>,
  signal: AbortSignal,
): Promise<void> {
  const blob = await leaderBlob(signal)
  if (blob === undefined) return
  const { wrappedKey } = decodeSealBlob(blob)
  if (wrappedKey.byteLength > 0) await absorb(wrappedKey, signal)
}
