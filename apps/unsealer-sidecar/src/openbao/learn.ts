import { setTimeout as delay } from 'node:timers/promises'
import { decodeSealBlob } from '@sealwright/seal-plugin'
import { type KeyringRefusal } from '../keyring/absorb.ts'
import { type LeaderKey } from './leader-key.ts'

export interface LearnDependencies {
  /** A blob that carries the leader's keyring; `undefined` if there is none to be had now. */
  readonly leaderBlob: (signal: AbortSignal) => Promise<Uint8Array | undefined>
  readonly absorb: (keyringBytes: Uint8Array, signal: AbortSignal) => Promise<KeyringRefusal | undefined>
  /** Told of each blob of the leader, and whether its keyring was taken. */
  readonly onBlob: LeaderKey['saw']
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
  { leaderBlob, absorb, onBlob }: Pick<LearnDependencies, 'leaderBlob' | 'absorb' | 'onBlob'>,
  signal: AbortSignal,
): Promise<void> {
  const bytes = await leaderBlob(signal)
  if (bytes === undefined) return
  const blob = decodeSealBlob(bytes)
  onBlob(blob, blob.wrappedKey.byteLength > 0 ? await absorb(blob.wrappedKey, signal) : undefined)
}
