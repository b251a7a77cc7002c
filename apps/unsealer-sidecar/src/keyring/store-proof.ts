import { type Generation, type Keyring, KeyringError, type OpenKeyring, sealTypeOf } from '@sealwright/keyring'
import { type OpenOutcome } from '@sealwright/unseal'
import { isReplaced, type MembersBySeal, ownRecords, sealsAtStake } from './own-records.ts'

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

/** A seal that opens what the store has, and not all of that in the keyring that is to take its place. */
export interface Loser {
  readonly sealName: string
  /**
   * `opens-less`: it was tried on both. `replaced`: the TPM of this node, which has opened since the agent started, cannot be tried now, and has
   * another record in the place of one that was stored: what whoever had an old key has put there may be the very reason.
   */
  readonly kind: 'opens-less' | 'replaced'
  /** Active generations of the new keyring that it opens in the stored one alone; empty where it was not tried. */
  readonly missed: readonly Generation[]
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
  /** Seals that would lose something. Asks a device only of a seal of which a record, or any link, is not as it was stored. */
  losers(next: Keyring, stored: Keyring, signal: AbortSignal): Promise<readonly Loser[]>
  /** Names of seals that open less of what was not stored because of that: their records are to be put back. */
  toRenew(): ReadonlySet<string>
  /** What is held has been stored. */
  kept(): void
}

/** What a seal makes of a keyring now. `never`: it does not open it, and to try again would not help. */
type Trial =
  { readonly kind: 'opens'; readonly keyring: OpenKeyring } | { readonly kind: 'not-now' } | { readonly kind: 'never' }

export function storeProof({ tryOut, sealNames, ourMembers, onRecordLost }: StoreProofDependencies): StoreProof {
  let toRenew: ReadonlySet<string> = new Set()

  const tryOn = async (keyring: Keyring, signal: AbortSignal, among?: readonly string[]): Promise<Trial> => {
    const outcome = await tryOut(keyring, signal, among)
    if (outcome.kind === 'opened') return { kind: 'opens', keyring: outcome.opened }
    const { failures } = outcome
    return { kind: failures.length > 0 && failures.every(({ kind }) => kind === 'permanent') ? 'never' : 'not-now' }
  }

  /** Active generations of `next` that a seal opens in the stored keyring, and not in that one: there it did as `now` says. */
  const missedBy = async (
    sealName: string,
    now: Exclude<Trial, { readonly kind: 'not-now' }>,
    { next, stored }: { readonly next: Keyring; readonly stored: Keyring },
    signal: AbortSignal,
  ): Promise<readonly Generation[]> => {
    const out = next.generations.filter(
      generation => generation.state === 'active' && !(now.kind === 'opens' && now.keyring.reaches(generation)),
    )
    if (now.kind === 'opens') now.keyring.close()
    // What the store has may not open any more, and cost a try of a PIN: it is asked only for what may be missed.
    if (out.length === 0) return []
    const before = await tryOn(stored, signal, [sealName])
    if (before.kind !== 'opens') return []
    const missed = out.filter(generation => before.keyring.reaches(generation))
    before.keyring.close()
    // A member that was removed loses its records for good.
    return ownRecords(ourMembers, next, sealName).length === 0 ? [] : missed
  }

  /** @returns `isOpened`: a seal has opened `next` on the way. */
  const examine = async (
    next: Keyring,
    stored: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly losers: readonly Loser[]; readonly isOpened: boolean }> => {
    const losers: Loser[] = []
    let isOpened = false
    for (const sealName of sealsAtStake(sealNames(), ourMembers, { stored, next })) {
      const now = await tryOn(next, signal, [sealName])
      if (now.kind === 'not-now') {
        // A token or transit key may be shared: another node may have made its record anew, and knows why. A TPM is this node's alone.
        const isSpoilt = ownRecords(ourMembers, stored, sealName).some(
          record => sealTypeOf(record.method) === 'tpm' && isReplaced(record, next),
        )
        if (isSpoilt) losers.push({ sealName, kind: 'replaced', missed: [] })
        continue
      }
      isOpened ||= now.kind === 'opens'
      const missed = await missedBy(sealName, now, { next, stored }, signal)
      if (missed.length > 0) losers.push({ sealName, kind: 'opens-less', missed })
    }
    return { losers, isOpened }
  }

  const assertOpens = async (keyring: Keyring, signal: AbortSignal): Promise<void> => {
    const trial = await tryOn(keyring, signal)
    if (trial.kind !== 'opens')
      throw new KeyringError('KEYRING_NO_WAY_IN', 'no seal of this node opens the new keyring')
    trial.keyring.close()
  }

  return {
    losers: async (next, stored, signal) => (await examine(next, stored, signal)).losers,
    async prove(next, stored, signal) {
      const { losers, isOpened } =
        stored === undefined ? { losers: [], isOpened: false } : await examine(next, stored, signal)
      if (losers.length === 0) {
        if (!isOpened) await assertOpens(next, signal)
        return
      }
      const names = losers.filter(({ kind }) => kind === 'opens-less').map(({ sealName }) => sealName)
      const isNews = names.some(name => !toRenew.has(name))
      toRenew = new Set(names)
      // Once: what cannot be put back, tried at once again and again, would wear the TPM out.
      if (isNews) onRecordLost()
      const list = losers.map(({ sealName }) => sealName).join(', ')
      throw new KeyringError(
        'KEYRING_NO_WAY_IN',
        `the record of ${list} in the new keyring does not open all that the one in the store does, as far as can be told now: that one stays`,
      )
    },
    toRenew: () => toRenew,
    kept() {
      toRenew = new Set()
    },
  }
}
