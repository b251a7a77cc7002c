import { findSealRecords, type Keyring, type KeyringRecord, leadsToCurrent } from '@sealwright/keyring'
import { CustodyError } from './custody-error.ts'
import { type MembersBySeal, ownRecords } from './own-records.ts'

/** How a keyring from outside got here: with a blob or an answer of the leader, or because an operator has brought it. */
export type Arrival = 'by-itself' | 'by-hand'

export interface WaysInDependencies {
  /** Names of the automatic seals of this node, as its configuration is now. */
  readonly sealNames: () => readonly string[]
  readonly ourMembers: MembersBySeal
  /** Whether the seal opened when it was last asked. */
  readonly isHealthy: (sealName: string) => boolean
}

/**
 * Makes the check that a keyring which came by itself leaves this node a way in: a record from which links lead to the current generation, of a
 * seal that its configuration names. No device is asked.
 *
 * Whoever has an old key can call every member but their own removed, or rename its seal. What is held then could never be stored, yet would
 * travel with each blob. Some seal that opens now must keep its way, too: one that is away may never come back.
 *
 * @returns throws {@link CustodyError} `CUSTODY_SHUT_OUT` if there was a way in `before`, and there is none `after`.
 * @see docs/formats/keyring.md §9.2
 */
export function waysIn({
  sealNames,
  ourMembers,
  isHealthy,
}: WaysInDependencies): (before: Keyring, after: Keyring) => void {
  const recordsHere = (keyring: Keyring, name: string): readonly KeyringRecord[] =>
    ourMembers.has(name) ? ownRecords(ourMembers, keyring, name) : findSealRecords(keyring, name)

  return (before, after) => {
    const had = sealNames().filter(name => leadsToCurrent(before, recordsHere(before, name)))
    const has = had.filter(name => leadsToCurrent(after, recordsHere(after, name)))
    const [hadHealthy, hasHealthy] = [had.filter(isHealthy), has.filter(isHealthy)]
    const isWorse = has.length < had.length && (has.length === 0 || (hadHealthy.length > 0 && hasHealthy.length === 0))
    if (!isWorse) return
    const lost = had.filter(name => !has.includes(name)).join(', ')
    throw new CustodyError(
      'CUSTODY_SHUT_OUT',
      `it takes away what opens this node: no record of ${lost} would lead to the current key. Unless this node was shut out on purpose (members ` +
        'revoke, seals delete), somebody who has an old key made it: see "A keyring that shuts a node out" in the runbook',
    )
  }
}
