import { type Secret } from '@sealwright/secret'

import { hex } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type KeyringContents, type KeyringRecord, requireGeneration } from './keyring.ts'
import { compareGenerations, currentGeneration, lineageOf, reachableFrom } from './lineage.ts'
import { followLink } from './link.ts'

/**
 * Chooses the records that open a keyring, before any member is asked: first the oldest one from which links lead to the current
 * generation; then the others, each of which may add generations that old blobs still need: those that the current one comes after, then
 * those beside the lineage, which a stranger may have planted, the oldest first. Those of pending generations are not among them: no blob
 * names one.
 *
 * @param records - of one member.
 * @returns At least one record.
 * @throws {@link KeyringError} `KEYRING_LINK_BROKEN` if the current generation is out of reach.
 */
export function planRecords(contents: KeyringContents, records: readonly KeyringRecord[]): readonly KeyringRecord[] {
  const current = currentGeneration(contents)
  const oldestFirst = records
    .map(record => ({ record, generation: requireGeneration(contents, record.generationId) }))
    .sort((a, b) => compareGenerations(a.generation, b.generation))
  const first = oldestFirst.find(({ generation }) => reachableFrom(contents, generation.id).has(hex(current.id)))
  if (first === undefined) {
    throw new KeyringError(
      'KEYRING_LINK_BROKEN',
      `generation ${current.number} (${current.keyId}) is out of reach: the chain was broken below it, and this member has no record since`,
    )
  }
  const others = oldestFirst.filter(each => each !== first && each.generation.state !== 'pending')
  const lineage = new Set(lineageOf(contents, current).map(({ id }) => hex(id)))
  const isInLineage = ({ generation }: (typeof others)[number]): boolean => lineage.has(hex(generation.id))
  const beside = others.filter(each => !isInLineage(each))
  return [first, ...others.filter(isInLineage), ...beside].map(({ record }) => record)
}

/**
 * Follows every link that starts at a key which is held, and adds the keys that they wrap.
 *
 * One that does not open is left out, with whatever only it leads to: whoever had an old key can plant such links, and must not keep anybody
 * from the generations that others lead to. Whether the current one was reached is for the caller to see.
 *
 * @param held - seal keys by the id of their generation, in hex.
 * @returns what was wrong with the first link that was left out, a {@link KeyringError} `KEYRING_LINK_BROKEN`; `undefined` if all opened.
 */
export function climb(contents: KeyringContents, held: Map<string, Secret>): KeyringError | undefined {
  const links = new Map(contents.links.map(link => [hex(link.toId), link]))
  let fault: KeyringError | undefined
  // Listed by number, so that a parent always comes before its children.
  for (const to of contents.generations) {
    const link = links.get(hex(to.id))
    const sealKey = held.get(hex(to.parentId))
    if (link === undefined || sealKey === undefined || held.has(hex(to.id))) continue
    const from = requireGeneration(contents, to.parentId)
    try {
      held.set(hex(to.id), followLink(link, sealKey, { clusterId: contents.clusterId, from, to }))
    } catch (error) {
      if (!(error instanceof KeyringError) || error.code !== 'KEYRING_LINK_BROKEN') throw error
      fault ??= error
    }
  }
  return fault
}
