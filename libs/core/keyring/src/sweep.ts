import { hex } from '@sealwright/bytes'
import { type Generation, type KeyringContents } from './keyring.ts'

/** Removed members that a break leaves listed: so many serve as a memory of who is not to be let in again by itself. */
const KEPT_REMOVED_MEMBERS = 128
/** Seals without a member that a break leaves listed. */
const KEPT_EMPTY_SEALS = 16

/**
 * The contents without the generations that a break has no use for: pending ones, and retired ones that no record and no link names; those
 * stay that another one which stays comes after. Their records and links go with them.
 *
 * Only for the maker of a break: what others still say of these generations has no say after it, so that no merge brings them back.
 *
 * @param kept - the generation of the break itself, which may be pending.
 * @see docs/formats/keyring.md §7.5
 */
export function withoutSpentGenerations(contents: KeyringContents, kept: Generation): KeyringContents {
  const isBegun = (generation: Generation): boolean => generation.state !== 'pending' || isSame(generation, kept)
  const begun = listed(contents, isBegun)
  const named = new Set([
    ...begun.records.map(({ generationId }) => hex(generationId)),
    ...begun.links.map(({ toId }) => hex(toId)),
  ])
  const parents = new Map(begun.generations.map(({ id, parentId }) => [hex(id), hex(parentId)]))
  for (const { toId } of begun.links) named.add(parents.get(hex(toId)) ?? '')
  return listed(begun, generation => generation.state !== 'retired' || named.has(hex(generation.id)))
}

/**
 * The contents without removed members, and seals that have no active one, if there are many: somebody may have planted them.
 *
 * Only with the break itself, which takes from all who might bring them back their say.
 *
 * @see docs/formats/keyring.md §7.5
 */
export function withoutManyRemoved(contents: KeyringContents): KeyringContents {
  const members = contents.members.filter(({ state }) => state === 'active')
  const inUse = new Set(members.map(({ sealId }) => hex(sealId)))
  const seals = contents.seals.filter(({ sealId }) => inUse.has(hex(sealId)))
  const areFew =
    contents.members.length - members.length <= KEPT_REMOVED_MEMBERS &&
    contents.seals.length - seals.length <= KEPT_EMPTY_SEALS
  return areFew ? contents : { ...contents, seals, members }
}

/** The contents with the generations that stay, what those come after, and what is of either. */
function listed(contents: KeyringContents, stays: (generation: Generation) => boolean): KeyringContents {
  const ids = new Set<string>()
  // Listed by number, so that from the end on a child comes before its parent.
  for (const generation of contents.generations.toReversed()) {
    if (!stays(generation) && !ids.has(hex(generation.id))) continue
    ids.add(hex(generation.id))
    ids.add(hex(generation.parentId))
  }
  return {
    ...contents,
    generations: contents.generations.filter(({ id }) => ids.has(hex(id))),
    records: contents.records.filter(({ generationId }) => ids.has(hex(generationId))),
    links: contents.links.filter(({ toId }) => ids.has(hex(toId))),
  }
}

function isSame(one: Generation, other: Generation): boolean {
  return hex(one.id) === hex(other.id)
}
