import { type Keyring, KeyringError, type OpenKeyring } from '@sealwright/keyring'
import { type OpenOutcome } from '@sealwright/unseal'
import { type MembersBySeal, ownRecords, sealsThatLoseRecords } from './own-records.ts'

export interface StoreProofDependencies {
  /** Opens a keyring for real, by any seal of this node or by one of those named. What fails says nothing of the health of a seal. */
  readonly tryOut: (
    keyring: Keyring,
    signal: AbortSignal,
    among?: readonly string[],
  ) => Promise<OpenOutcome<OpenKeyring>>
  /** Of this node, as its configuration is now. */
  readonly sealNames: () => readonly string[]
  readonly ourMembers: MembersBySeal
  /** {@link StoreProof.toRenew} has another seal in it. */
  readonly onRecordLost: () => void
}

/** Decides whether a keyring may take the place of what the store has. */
export interface StoreProof {
  /**
   * A seal of this node must open it. And a record of this node that opens never gives way to one that does not, although another seal may
   * open the keyring: it is made anew first, which takes nothing but what the same seal opens now.
   *
   * @param stored - `undefined` if the store is empty.
   * @throws {KeyringError} `KEYRING_NO_WAY_IN`.
   */
  prove(next: Keyring, stored: Keyring | undefined, signal: AbortSignal): Promise<void>
  /** Names of seals that open what the store has, and not what was to take its place. */
  toRenew(): ReadonlySet<string>
  /** What is held has been stored. */
  kept(): void
}

export function storeProof({ tryOut, sealNames, ourMembers, onRecordLost }: StoreProofDependencies): StoreProof {
  let toRenew: ReadonlySet<string> = new Set()

  /** @returns `never`: it does not open, and to try again would not help. */
  const opens = async (
    keyring: Keyring,
    signal: AbortSignal,
    among?: readonly string[],
  ): Promise<'opens' | 'not-now' | 'never'> => {
    const outcome = await tryOut(keyring, signal, among)
    if (outcome.kind === 'opened') {
      outcome.opened.close()
      return 'opens'
    }
    const { failures } = outcome
    return failures.length > 0 && failures.every(({ kind }) => kind === 'permanent') ? 'never' : 'not-now'
  }

  /** Seals that lose a record: which of them open `next` all the same, and which open `stored` alone. */
  const losers = async (next: Keyring, stored: Keyring, signal: AbortSignal) => {
    const proven: string[] = []
    const failed: string[] = []
    for (const name of sealsThatLoseRecords(sealNames(), ourMembers, { stored, next })) {
      const found = await opens(next, signal, [name])
      if (found === 'opens') proven.push(name)
      if (found !== 'never' || (await opens(stored, signal, [name])) !== 'opens') continue
      // A member that was removed loses its records for good.
      if (ownRecords(ourMembers, next, name).length > 0) failed.push(name)
    }
    return { proven, failed }
  }

  return {
    async prove(next, stored, signal) {
      const { proven, failed } = stored === undefined ? { proven: [], failed: [] } : await losers(next, stored, signal)
      if (failed.length > 0) {
        const isNews = failed.some(name => !toRenew.has(name))
        toRenew = new Set(failed)
        // Once: a record that does not open either, made anew at once again and again, would wear the TPM out.
        if (isNews) onRecordLost()
        throw new KeyringError(
          'KEYRING_NO_WAY_IN',
          `the record of ${failed.join(', ')} in the new keyring does not open now, and that in the store does: it stays until a new one is made`,
        )
      }
      if (proven.length > 0 || (await opens(next, signal)) === 'opens') return
      throw new KeyringError('KEYRING_NO_WAY_IN', 'no seal of this node opens the new keyring')
    },
    toRenew: () => toRenew,
    kept() {
      toRenew = new Set()
    },
  }
}
