import { hex } from '@sealwright/bytes'
import { type KeyringContents, type KeyringRecord, memberKey } from './keyring.ts'
import { currentGeneration, reachableFrom } from './lineage.ts'

/** What {@link reachableFrom} says of the generation of each record, by its id in hex. */
type Reachable = ReadonlyMap<string, ReadonlySet<string>>

/**
 * The contents without what nobody needs: records whose seal or member is removed; records of a retired generation whose member
 * has newer ones that lead to the current generation, and to every other one not retired that this record leads to; and links out
 * of retired generations that lead on from none of the records that stay.
 *
 * Nobody loses the last way in by it, nor the last way to a generation that blobs may still name.
 *
 * @see docs/formats/keyring.md §7.6
 */
export function tidy(contents: KeyringContents): KeyringContents {
  const reachable = reachableFromRecords(contents)
  const retired = retiredIds(contents)
  const records = neededRecords(contents, reachable, retired)
  const starts = new Set(records.map(({ generationId }) => hex(generationId)))
  const reached = new Set([...starts].flatMap(start => [...(reachable.get(start) ?? [])]))
  const parents = new Map(contents.generations.map(({ id, parentId }) => [hex(id), hex(parentId)]))
  const links = contents.links.filter(({ toId }) => {
    const parent = parents.get(hex(toId)) ?? ''
    return !retired.has(parent) || reached.has(parent)
  })
  return { ...contents, records, links }
}

function reachableFromRecords(contents: KeyringContents): Reachable {
  const starts = new Map(contents.records.map(({ generationId }) => [hex(generationId), generationId]))
  return new Map([...starts].map(([start, id]) => [start, reachableFrom(contents, id)]))
}

function neededRecords(
  contents: KeyringContents,
  reachable: Reachable,
  retired: ReadonlySet<string>,
): readonly KeyringRecord[] {
  const active = new Set([
    ...contents.seals.filter(({ state }) => state === 'active').map(({ sealId }) => hex(sealId)),
    ...contents.members.filter(({ state }) => state === 'active').map(memberKey),
  ])
  const records = contents.records.filter(record => active.has(hex(record.sealId)) && active.has(memberKey(record)))
  const isRetired = ({ generationId }: KeyringRecord) => retired.has(hex(generationId))
  const reachOf = ({ generationId }: KeyringRecord) => [...(reachable.get(hex(generationId)) ?? [])]

  /** What each member reaches by its records of generations that are not retired. */
  const newer = new Map<string, Set<string>>()
  for (const record of records.filter(each => !isRetired(each))) {
    newer.set(memberKey(record), new Set([...(newer.get(memberKey(record)) ?? []), ...reachOf(record)]))
  }
  const current = hex(currentGeneration(contents).id)
  return records.filter(record => {
    const reached = newer.get(memberKey(record))
    const isSpare = reached?.has(current) === true && reachOf(record).every(id => retired.has(id) || reached.has(id))
    return !isRetired(record) || !isSpare
  })
}

function retiredIds({ generations }: KeyringContents): ReadonlySet<string> {
  return new Set(generations.filter(({ state }) => state === 'retired').map(({ id }) => hex(id)))
}
