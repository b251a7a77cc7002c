import { compareBytes, hex } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { findGeneration, type Generation, type KeyringContents } from './keyring.ts'

/** Number of the generation whose signing key gives the cluster id. */
export const FIRST_GENERATION = 1

/** How many steps the current generation may be from the first before a break begins further back. */
const LONG_LINEAGE = 96

/** The order in which generations are listed. */
export function compareGenerations(a: Generation, b: Generation): number {
  return a.number - b.number || compareBytes(a.id, b.id)
}

/** The generation itself and all that it descends from, the first one first. */
export function lineageOf(contents: KeyringContents, generation: Generation): readonly Generation[] {
  const lineage = [generation]
  for (let next = findGeneration(contents, generation.parentId); next !== undefined;) {
    lineage.unshift(next)
    next = findGeneration(contents, next.parentId)
  }
  return lineage
}

/**
 * The generation that encrypts: of the active ones that which has seen most breaks of the chain, then the highest, then the one
 * with the lowest id. So nodes that know the same generations agree on it, and a break wins over a rotation that did not know of it.
 *
 * @throws {@link KeyringError} `KEYRING_MALFORMED` if none is active.
 */
export function currentGeneration(contents: KeyringContents): Generation {
  const breaks = new Map<string, number>()
  let best: Generation | undefined
  // Listed by number, then id, so that a parent comes before its children, and of equals the first is the one that is wanted.
  for (const generation of contents.generations) {
    const count = (breaks.get(hex(generation.parentId)) ?? 0) + (generation.step === 'broken' ? 1 : 0)
    breaks.set(hex(generation.id), count)
    if (generation.state !== 'active') continue
    const bestCount = best === undefined ? -1 : (breaks.get(hex(best.id)) ?? 0)
    if (count > bestCount || (count === bestCount && generation.number > (best?.number ?? 0))) best = generation
  }
  if (best !== undefined) return best
  throw new KeyringError('KEYRING_MALFORMED', 'not a keyring: no generation is active')
}

/**
 * The generation that a break follows: the current one; but where that one's lineage is long, the oldest active one that only chained
 * steps lead on from to the current one. What lies between is left beside the lineage by that, and can be swept away once it is
 * retired: so nobody can use up the steps that a lineage may have.
 *
 * @param isHeld - whether the key of a generation is at hand, which has to sign.
 */
export function breakPoint(contents: KeyringContents, isHeld: (generation: Generation) => boolean): Generation {
  const current = currentGeneration(contents)
  if (current.number <= LONG_LINEAGE) return current
  const lineage = lineageOf(contents, current)
  // Not from before another break: two breaks beside each other would contradict each other.
  const since = lineage.slice(
    Math.max(
      0,
      lineage.findLastIndex(({ step }) => step === 'broken'),
    ),
  )
  return since.find(generation => generation.state === 'active' && isHeld(generation)) ?? current
}

/**
 * Whether `generation`, as `contents` lists it, was given up: the current one of `other` comes after a break of the chain, and
 * `generation` does not. Its key may be in wrong hands, and has no say any more.
 *
 * Each keyring is taken by itself. States are not signed: in a union of the two, whoever holds a key from before the break
 * could hide the break by calling its generation retired.
 *
 * Breaks are told apart by their keys: see {@link breakOf}.
 */
export function isGivenUp(contents: KeyringContents, generation: Generation, other: KeyringContents): boolean {
  const seen = new Set(lineageOf(contents, generation).flatMap(breakOf))
  return lineageOf(other, currentGeneration(other))
    .flatMap(breakOf)
    .some(each => !seen.has(each))
}

/**
 * What a break is known by: the id and the signing key of its generation. Nothing goes on from it without that key, so whoever has it in
 * their lineage has learned of the break.
 *
 * The id alone is not enough: whoever has the parent's key can sign that id again, with a signing key of their own to go on from. The whole
 * statement is too much: the same forger could sign another key id for the genuine key, and two nodes that each hold one of the two would
 * never learn of each other's breaks.
 */
function breakOf({ step, id, signingKey }: Generation): readonly string[] {
  return step === 'broken' ? [`${hex(id)} ${hex(signingKey)}`] : []
}

/**
 * The generations that a member needs records of to reach all that are active: those of them that no links lead to from another
 * active one. With a whole chain that is the oldest alone.
 *
 * A record of the current generation only would leave out the older ones, which blobs may still name.
 */
export function rootGenerations(contents: KeyringContents): readonly Generation[] {
  const active = contents.generations.filter(({ state }) => state === 'active')
  const starts = new Set(active.map(({ id }) => hex(id)))
  const linked = linkedFrom(contents, starts)
  return active.filter(({ id }) => !linked.has(hex(id)))
}

/** Whether one of these records leads to the current generation. */
export function leadsToCurrent(
  contents: KeyringContents,
  records: readonly { readonly generationId: Uint8Array }[],
): boolean {
  const current = hex(currentGeneration(contents).id)
  return records.some(({ generationId }) => reachableFrom(contents, generationId).has(current))
}

/** Ids, in hex, of all generations whose key follows from that of `start` over links, itself among them. */
export function reachableFrom(contents: KeyringContents, start: Uint8Array): ReadonlySet<string> {
  return reachableFromAny(contents, new Set([hex(start)]))
}

/** As {@link reachableFrom} for many at once, by their ids in hex. */
export function reachableFromAny(contents: KeyringContents, starts: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...starts, ...linkedFrom(contents, starts)])
}

/** Ids, in hex, of the generations that a way of one link or more leads to from one of `starts`. In one pass, however many there are. */
function linkedFrom(contents: KeyringContents, starts: ReadonlySet<string>): ReadonlySet<string> {
  const reached = new Set<string>()
  if (contents.links.length === 0) return reached
  const linked = new Set(contents.links.map(({ toId }) => hex(toId)))
  // Listed by number, so that a parent always comes before its children.
  for (const { id, parentId } of contents.generations) {
    const [own, parent] = [hex(id), hex(parentId)]
    if (linked.has(own) && (starts.has(parent) || reached.has(parent))) reached.add(own)
  }
  return reached
}
