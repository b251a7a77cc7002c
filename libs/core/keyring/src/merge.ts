import { ByteWriter } from './byte-writer.ts'
import { compareBytes, hex, sameBytes } from '@sealwright/bytes'
import { encodeContents, writeMember, writeRecord, writeSeal } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type KeyringContents, type Link, MAX_NAME_BYTES, type Seal } from './keyring.ts'
import { compareGenerations, currentGeneration, FIRST_GENERATION, isGivenUp } from './lineage.ts'
import { GENERATION_STATES } from './registry.ts'
import { isSameLink, isSameStatement } from './same-entry.ts'
import { tidy } from './tidy.ts'
import { compareLinks, compareMembers, compareRecords, compareSeals } from './validate.ts'

/** Digits of a seal id that tell apart two seals of one name. */
const NAME_SUFFIX_DIGITS = 8

/**
 * Unites two keyrings of one cluster. The result depends on what both say, not on which comes first.
 *
 * Nothing that anybody knows is lost: of generations, seals, members, records and links all are kept. Where both have an entry,
 * the greater encoding wins: that is the higher entry version, then `removed` before `active`. A generation is in the later of
 * its two states. If one side has broken the chain and the other does not know of it, then the other, which may be in wrong
 * hands, has no say, whatever it says of any generation: the result is the side that has.
 *
 * @throws {@link KeyringError} `KEYRING_DIVERGED` if each side broke the chain in another place, or if, with no break between them,
 *   they say different things of one generation or have different links to it; as `encodeContents` if the result breaks a rule, such as `KEYRING_TOO_LARGE` or `KEYRING_NO_WAY_IN`.
 * @see docs/formats/keyring.md §9
 */
export function mergeContents(a: KeyringContents, b: KeyringContents): KeyringContents {
  // Before anything is united: who has no say must not be able to contradict, either.
  const aIsGivenUp = isGivenUp(a, currentGeneration(a), b)
  const bIsGivenUp = isGivenUp(b, currentGeneration(b), a)
  if (aIsGivenUp && bIsGivenUp) throw diverged('the chain was broken in two places at once')
  if (aIsGivenUp) return counted(tidy(b), [b])
  if (bIsGivenUp) return counted(tidy(a), [a])
  const generations = mergeGenerations(a, b)
  if (new Set(generations.map(({ keyId }) => keyId)).size !== generations.length) {
    throw diverged('two generations were given one key id')
  }
  const united = {
    clusterId: a.clusterId,
    revision: Math.max(a.revision, b.revision),
    generations,
    seals: withDistinctNames(mergeEntries(a.seals, b.seals, writeSeal, compareSeals)),
    members: mergeEntries(a.members, b.members, writeMember, compareMembers),
    records: mergeEntries(a.records, b.records, writeRecord, compareRecords),
    links: mergeLinks(a, b),
  }
  if ([a, b].some(side => isGivenUp(united, currentGeneration(united), side))) {
    throw diverged('what one side has retired is all that comes after a break')
  }
  return counted(tidy(united), [a, b])
}

/** The merged contents at their own revision if a side has said the very same, else at the next one. */
function counted(merged: KeyringContents, sides: readonly KeyringContents[]): KeyringContents {
  const { revision } = merged
  const isKnown = sides.some(
    side => side.revision === revision && sameBytes(encodeContents(side), encodeContents(merged)),
  )
  return isKnown ? merged : { ...merged, revision: revision + 1 }
}

/**
 * All of both, each in its later state.
 *
 * Two of one id must not differ in anything else. Both were signed, but whoever holds the parent's key can sign again: a
 * generation of their own under the id of a genuine one would otherwise pass on what that one is trusted for.
 */
function mergeGenerations(a: KeyringContents, b: KeyringContents): readonly Generation[] {
  const merged = new Map<string, Generation>()
  for (const generation of [...a.generations, ...b.generations]) {
    const known = merged.get(hex(generation.id))
    if (known !== undefined && !isSameStatement(known, generation)) {
      throw diverged(`generation ${generation.number} (${generation.keyId}) is not the same in both`)
    }
    if (known === undefined || stateNumber(generation) > stateNumber(known)) merged.set(hex(generation.id), generation)
  }
  const generations = [...merged.values()].sort(compareGenerations)
  if (generations[1]?.number === FIRST_GENERATION) throw diverged('they begin with two different generations')
  return generations
}

/** All of both. A generation gets its link once, when it is made: of two different ones, one is of somebody who had an old key. */
function mergeLinks(a: KeyringContents, b: KeyringContents): readonly Link[] {
  const merged = new Map<string, Link>()
  for (const link of [...a.links, ...b.links]) {
    const known = merged.get(hex(link.toId))
    if (known !== undefined && !isSameLink(known, link)) {
      throw diverged(`the links to generation ${hex(link.toId)} are not the same in both`)
    }
    merged.set(hex(link.toId), link)
  }
  return [...merged.values()].sort(compareLinks)
}

function stateNumber({ state }: Generation): number {
  return GENERATION_STATES.numbers[state]
}

/** Two nodes may have made two seals of one name. Both stay: the one with the higher id gets a longer name. */
function withDistinctNames(seals: readonly Seal[]): readonly Seal[] {
  const taken = new Set<string>()
  return seals.map(seal => {
    if (seal.state !== 'active') return seal
    const name = taken.has(seal.name) ? longerName(seal) : seal.name
    taken.add(name)
    return { ...seal, name }
  })
}

function longerName({ name, sealId }: Seal): string {
  const suffix = `-${hex(sealId).slice(0, NAME_SUFFIX_DIGITS)}`
  return name.slice(0, MAX_NAME_BYTES - suffix.length) + suffix
}

/** The union of two sorted lists; of two entries in one place, the one with the greater encoding. */
function mergeEntries<Entry>(
  a: readonly Entry[],
  b: readonly Entry[],
  write: (writer: ByteWriter, entry: Entry) => void,
  comparePlaces: (a: Entry, b: Entry) => number,
): readonly Entry[] {
  const sorted = [...a, ...b]
    .map(entry => ({ entry, bytes: encoded(entry, write) }))
    .sort((one, two) => comparePlaces(one.entry, two.entry) || compareBytes(one.bytes, two.bytes))
  return sorted
    .filter(({ entry }, index) => {
      const next = sorted[index + 1]
      return next === undefined || comparePlaces(entry, next.entry) !== 0
    })
    .map(({ entry }) => entry)
}

function encoded<Entry>(entry: Entry, write: (writer: ByteWriter, entry: Entry) => void): Uint8Array {
  const writer = new ByteWriter()
  write(writer, entry)
  return writer.finish()
}

function diverged(reason: string): KeyringError {
  return new KeyringError('KEYRING_DIVERGED', `the two keyrings contradict each other: ${reason}`)
}
