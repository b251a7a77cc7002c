import { type Secret } from '@sealwright/secret'

import { sameBytes } from './bytes.ts'
import { chainStart } from './chain.ts'
import { deriveClusterId } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findGeneration, type Generation, type KeyringContents, type KeyringRecord } from './keyring.ts'
import { followLink } from './link.ts'

/** The generation whose key gives the cluster id. */
const FIRST_GENERATION = 1

/**
 * Chooses the records that open a keyring, before any member is asked: the oldest one from which the current generation can
 * be reached without a gap, and one right after each endorsement on the way.
 *
 * None is above the current generation: its keys are not needed yet, and a current key may endorse any key check, also that of
 * a generation that it has nothing to do with.
 *
 * @param records - of one member, oldest generation first, then by slot.
 * @returns At least one record, oldest first.
 * @throws {@link KeyringError} `KEYRING_LINK_BROKEN` if the current generation is out of reach.
 */
export function planRecords(keyring: KeyringContents, records: readonly KeyringRecord[]): readonly KeyringRecord[] {
  const plan: KeyringRecord[] = []
  let top = keyring.currentGeneration
  for (;;) {
    const start = chainStart(keyring, top)
    const reached = top
    const record = records.find(({ generation }) => generation >= start && generation <= reached)
    if (record === undefined) break
    plan.unshift(record)
    if (record.generation !== start) break
    top = start - 1
  }
  if (plan.length > 0) return plan
  throw new KeyringError(
    'KEYRING_LINK_BROKEN',
    `generation ${keyring.currentGeneration} is out of reach: the chain was broken below it, and this member has no record since`,
  )
}

/**
 * Checks every link from `start`, whose key is held, and adds the keys that they wrap: up to the first endorsement, or to the
 * highest generation.
 *
 * @throws {@link KeyringError} `KEYRING_LINK_BROKEN`; `KEYRING_AUTH_FAILED` if generation 1 is not of this cluster.
 */
export function climb(keyring: KeyringContents, held: Map<number, Secret>, start: Generation): void {
  assertFirstKey(keyring, held)
  let from = start
  for (const link of keyring.links) {
    const to = findGeneration(keyring, link.from + 1)
    if (link.from !== from.number || to === undefined) continue
    const sealKey = held.get(from.number)
    if (sealKey === undefined) return
    const next = followLink(link, sealKey, { clusterId: keyring.clusterId, from, to })
    if (next === undefined) return
    held.set(to.number, next)
    from = to
  }
}

function assertFirstKey({ clusterId }: KeyringContents, held: ReadonlyMap<number, Secret>): void {
  const first = held.get(FIRST_GENERATION)
  if (first === undefined || sameBytes(deriveClusterId(first), clusterId)) return
  throw new KeyringError('KEYRING_AUTH_FAILED', 'the keyring was changed: its generation 1 is of another cluster')
}
