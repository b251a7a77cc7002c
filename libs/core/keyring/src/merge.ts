import { ByteWriter } from './byte-writer.ts'
import { compareBytes, hex, sameBytes } from './bytes.ts'
import { linkKindOf } from './chain.ts'
import { encodeContents, writeLink, writeMember, writeRecord, writeSeal } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, type KeyringContents, type Link } from './keyring.ts'
import { compareLinks, compareMembers, compareRecords, compareSeals } from './validate.ts'

/**
 * Unites two keyrings of one cluster. The result depends on what both say, not on which comes first.
 *
 * Where both have an entry, the greater encoding wins: that is the higher entry version, then `removed` before `active`. Of
 * two links an endorsement wins, so that a merge does not mend a chain that was broken on purpose.
 * Generations below the higher of the two oldest ones are gone, and so are records whose seal or member is removed.
 *
 * @throws {@link KeyringError} `KEYRING_DIVERGED` if two seals claim one name, or two keys one generation; as
 *   `encodeContents` if the result breaks a rule, such as `KEYRING_NO_WAY_IN`.
 * @see docs/formats/keyring.md §9
 */
export function mergeContents(a: KeyringContents, b: KeyringContents): KeyringContents {
  const generations = mergeGenerations(a, b)
  const kept = new Set(generations.map(({ number }) => number))
  const seals = mergeEntries(a.seals, b.seals, writeSeal, compareSeals)
  const members = mergeEntries(a.members, b.members, writeMember, compareMembers)
  const activeSeals = seals.filter(({ state }) => state === 'active')
  if (new Set(activeSeals.map(({ name }) => name)).size !== activeSeals.length) {
    throw new KeyringError('KEYRING_DIVERGED', 'two seals have the same name: rename one of them first')
  }
  const activeSealIds = new Set(activeSeals.map(({ sealId }) => hex(sealId)))
  const activeMembers = new Set(
    members.filter(({ state }) => state === 'active').map(({ sealId, memberId }) => hex(sealId) + hex(memberId)),
  )
  const revision = Math.max(a.revision, b.revision)
  const merged: KeyringContents = {
    clusterId: a.clusterId,
    revision,
    currentGeneration: Math.max(a.currentGeneration, b.currentGeneration),
    generations,
    seals,
    members,
    records: mergeEntries(a.records, b.records, writeRecord, compareRecords).filter(
      ({ generation, sealId, memberId }) =>
        kept.has(generation) && activeSealIds.has(hex(sealId)) && activeMembers.has(hex(sealId) + hex(memberId)),
    ),
    links: mergeEntries(a.links, b.links, writeRankedLink, compareLinks).filter(
      ({ from }) => kept.has(from) && kept.has(from + 1),
    ),
  }
  const isKnown = [a, b].some(
    side => side.revision === revision && sameBytes(encodeContents(side), encodeContents(merged)),
  )
  return isKnown ? merged : { ...merged, revision: revision + 1 }
}

function mergeGenerations(a: KeyringContents, b: KeyringContents): readonly Generation[] {
  const oldest = Math.max(a.generations[0]?.number ?? 1, b.generations[0]?.number ?? 1)
  const merged = new Map<number, Generation>()
  for (const generation of [...a.generations, ...b.generations]) {
    const other = merged.get(generation.number)
    if (other !== undefined && !isSameGeneration(other, generation)) {
      throw new KeyringError('KEYRING_DIVERGED', `there are two different generations ${generation.number}`)
    }
    if (generation.number >= oldest) merged.set(generation.number, generation)
  }
  return [...merged.values()].sort((one, two) => one.number - two.number)
}

function writeRankedLink(writer: ByteWriter, link: Link): void {
  writer.uint8(linkKindOf(link) === 'endorsement' ? 1 : 0)
  writeLink(writer, link)
}

export function isSameGeneration(a: Generation, b: Generation): boolean {
  return a.keyId === b.keyId && sameBytes(a.keyCheck, b.keyCheck)
}

/** The union of two sorted lists; of two entries in one place, the one with the greater encoding. */
function mergeEntries<Entry>(
  a: readonly Entry[],
  b: readonly Entry[],
  write: (writer: ByteWriter, entry: Entry) => void,
  comparePlaces: (a: Entry, b: Entry) => number,
): readonly Entry[] {
  const encode = (entry: Entry): Uint8Array => {
    const writer = new ByteWriter()
    write(writer, entry)
    return writer.finish()
  }
  const sorted = [...a, ...b]
    .map(entry => ({ entry, encoded: encode(entry) }))
    .sort((one, two) => comparePlaces(one.entry, two.entry) || compareBytes(one.encoded, two.encoded))
  return sorted
    .filter(({ entry }, index) => {
      const next = sorted[index + 1]
      return next === undefined || comparePlaces(entry, next.entry) !== 0
    })
    .map(({ entry }) => entry)
}
