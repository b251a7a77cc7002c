import { type Generation, type Keyring, KeyringError, type OpenKeyring } from '@sealwright/keyring'
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
   * A seal of this node must open it. And a record of this node that opens never gives way to one that does not, nor to one that opens less,
   * although another seal may open the keyring: it is put back first.
   *
   * @param stored - `undefined` if the store is empty.
   * @throws {KeyringError} `KEYRING_NO_WAY_IN`.
   */
  prove(next: Keyring, stored: Keyring | undefined, signal: AbortSignal): Promise<void>
  /**
   * Names of seals that open what the store has, and do not open `next`, or open fewer active generations there. Asks a device only of a seal
   * that has lost a record.
   */
  losers(next: Keyring, stored: Keyring, signal: AbortSignal): Promise<readonly string[]>
  /** Names of seals for which something was not stored, so that their records are to be put back. */
  toRenew(): ReadonlySet<string>
  /** What is held has been stored. */
  kept(): void
}

/** What a seal makes of a keyring now. `never`: it does not open it, and to try again would not help. */
type Trial = { readonly kind: 'opens'; readonly keyIds: readonly string[] } | { readonly kind: 'not-now' | 'never' }

export function storeProof({ tryOut, sealNames, ourMembers, onRecordLost }: StoreProofDependencies): StoreProof {
  let toRenew: ReadonlySet<string> = new Set()

  const tryOn = async (keyring: Keyring, signal: AbortSignal, among?: readonly string[]): Promise<Trial> => {
    const outcome = await tryOut(keyring, signal, among)
    if (outcome.kind === 'opened') {
      const { keyIds } = outcome.opened
      outcome.opened.close()
      return { kind: 'opens', keyIds }
    }
    const { failures } = outcome
    return { kind: failures.length > 0 && failures.every(({ kind }) => kind === 'permanent') ? 'never' : 'not-now' }
  }

  const losers = async (next: Keyring, stored: Keyring, signal: AbortSignal): Promise<readonly string[]> => {
    const names: string[] = []
    for (const name of sealsThatLoseRecords(sealNames(), ourMembers, { stored, next })) {
      const now = await tryOn(next, signal, [name])
      if (now.kind === 'not-now') continue
      const before = await tryOn(stored, signal, [name])
      // A member that was removed loses its records for good.
      if (before.kind !== 'opens' || ownRecords(ourMembers, next, name).length === 0) continue
      const reached = now.kind === 'opens' ? now.keyIds : []
      const isMissed = ({ state, keyId }: Generation): boolean =>
        state === 'active' && before.keyIds.includes(keyId) && !reached.includes(keyId)
      if (now.kind === 'never' || next.generations.some(isMissed)) names.push(name)
    }
    return names
  }

  return {
    losers,
    async prove(next, stored, signal) {
      const failed = stored === undefined ? [] : await losers(next, stored, signal)
      if (failed.length > 0) {
        const isNews = failed.some(name => !toRenew.has(name))
        toRenew = new Set(failed)
        // Once: what cannot be put back, tried at once again and again, would wear the TPM out.
        if (isNews) onRecordLost()
        throw new KeyringError(
          'KEYRING_NO_WAY_IN',
          `the record of ${failed.join(', ')} in the new keyring does not open all that the one in the store does: that stays until it is put back`,
        )
      }
      if ((await tryOn(next, signal)).kind === 'opens') return
      throw new KeyringError('KEYRING_NO_WAY_IN', 'no seal of this node opens the new keyring')
    },
    toRenew: () => toRenew,
    kept() {
      toRenew = new Set()
    },
  }
}
