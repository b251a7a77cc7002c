import { assertAuthentic, authenticate } from './authenticate.ts'
import { type Holding, macKeyOfCurrent } from './add-generation.ts'
import { hex, sameBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import {
  findGeneration,
  type Generation,
  type Keyring,
  type KeyringContents,
  type KeyringRecord,
  type Link,
  memberKey,
} from './keyring.ts'
import { assertKmsKeyring } from './kms-key-id.ts'
import { currentGeneration, lineageOf, reachableFrom } from './lineage.ts'
import { assertOrdinaryGrowth } from './room.ts'
import { isSameStatement } from './same-entry.ts'
import { type SealKeys } from './seal-keys.ts'
import { tidy } from './tidy.ts'
import { compareLinks, compareRecords } from './validate.ts'

/** A keyring of a KMS plugin, and one of the same cluster from before a retirement. */
export interface Retirement {
  readonly keyring: Keyring
  readonly former: Keyring
}

/**
 * The generations that {@link reactivateGenerations} makes active again, oldest first: of the versions of a keyring those that are retired, and
 * that another one has active and says the same of. Asks for no key: whether either keyring is authentic is not looked at.
 *
 * @throws {@link KeyringError} `KEYRING_OTHER_USE`, `KEYRING_OTHER_CLUSTER`.
 */
export function retiredSince({ keyring, former }: Retirement): readonly Generation[] {
  return sharedLineage({ keyring, former }).filter(
    ({ id, state }) => state === 'retired' && findGeneration(former, id)?.state === 'active',
  )
}

/**
 * Takes a retirement back, in the keyring of a KMS plugin: versions that an earlier keyring has active become active again, with the records
 * and links that led to them there. All else stays as it is, what came since among it. Asks no member: what was sealed once still opens.
 *
 * A member that was removed meanwhile gets nothing back. A record is as good as it was: one that is damaged in the earlier keyring opens nothing
 * here, so whoever writes the result proves it.
 *
 * A merge does not know of this: with a keyring in which the versions are retired they are retired again.
 *
 * @param input.sealKeys - hold the key of the current generation of both keyrings, and of each that comes back.
 * @param input.former - from before the retirement; its own current generation may be any that is held.
 * @returns The next revision; the keyring given in if {@link retiredSince} names none.
 * @throws {@link KeyringError} `KEYRING_OTHER_USE`, `KEYRING_OTHER_CLUSTER`; `KEYRING_AUTH_FAILED` if either is not authentic;
 *   `KEYRING_KEY_UNKNOWN`, `KEYRING_NO_ROOM`; as `encodeContents`.
 * @see docs/formats/keyring.md §12
 */
export function reactivateGenerations({ keyring, sealKeys, former }: Holding & Retirement): Keyring {
  const back = retiredSince({ keyring, former })
  const macKey = macKeyOfCurrent(keyring, sealKeys)
  assertAuthentic(keyring, macKey)
  assertAuthentic(former, macKeyOfCurrent(former, sealKeys))
  if (back.length === 0) return keyring
  assertHeld(back, sealKeys)
  const contents = withWays({ keyring, former }, back)
  assertOrdinaryGrowth(keyring, contents)
  return authenticate(contents, macKey)
}

/** The current generation and those that it comes after, as far as both keyrings say the same of them. */
function sharedLineage({ keyring, former }: Retirement): readonly Generation[] {
  for (const each of [keyring, former]) assertKmsKeyring(each)
  if (!sameBytes(keyring.clusterId, former.clusterId)) {
    throw new KeyringError('KEYRING_OTHER_CLUSTER', 'the earlier keyring belongs to another cluster')
  }
  return lineageOf(keyring, currentGeneration(keyring)).filter(generation => isKnownTo(former, generation))
}

/** Whether another keyring says the same of a generation. If not, somebody had the key of its parent, and one of the two is theirs. */
function isKnownTo(other: KeyringContents, generation: Generation): boolean {
  const there = findGeneration(other, generation.id)
  return there !== undefined && isSameStatement(generation, there)
}

/** What is active and held by nobody can be handed out by nobody. */
function assertHeld(generations: readonly Generation[], sealKeys: SealKeys): void {
  const strange = generations.find(({ id }) => !sealKeys.has(id))
  if (strange === undefined) return
  throw new KeyringError(
    'KEYRING_KEY_UNKNOWN',
    `generation ${strange.number} (${strange.keyId}) would come back, and its seal key is not held`,
  )
}

/** The next contents: these generations are active, and what led to them, or on from them, is back. */
function withWays({ keyring, former }: Retirement, back: readonly Generation[]): KeyringContents {
  const backIds = idsOf(back)
  const shared = sharedLineage({ keyring, former })
  const links = [...keyring.links, ...missingLinks(shared, { keyring, former })].sort(compareLinks)
  const leading = shared.filter(({ id }) =>
    [...reachableFrom({ ...keyring, links }, id)].some(each => backIds.has(each)),
  )
  const grown: KeyringContents = {
    ...keyring,
    revision: keyring.revision + 1,
    generations: keyring.generations.map(each => (backIds.has(hex(each.id)) ? { ...each, state: 'active' } : each)),
    records: [...keyring.records, ...missingRecords(leading, { keyring, former })].sort(compareRecords),
    links,
  }
  // What is there stays also where a record that comes back makes it spare: nobody has seen here that this one opens.
  const tidied = tidy(grown)
  return {
    ...grown,
    records: grown.records.filter(each => keyring.records.includes(each) || tidied.records.includes(each)),
    links: links.filter(each => keyring.links.includes(each) || tidied.links.includes(each)),
  }
}

/** The former links between two of these generations that are gone. */
function missingLinks(generations: readonly Generation[], { keyring, former }: Retirement): readonly Link[] {
  const ids = idsOf(generations)
  const parents = new Map(generations.map(({ id, parentId }) => [hex(id), hex(parentId)]))
  const there = new Set(keyring.links.map(({ toId }) => hex(toId)))
  return former.links.filter(({ toId }) => ids.has(parents.get(hex(toId)) ?? '') && !there.has(hex(toId)))
}

/** The former records of these generations whose places are empty. */
function missingRecords(generations: readonly Generation[], { keyring, former }: Retirement): readonly KeyringRecord[] {
  const ids = idsOf(generations)
  const there = new Set(keyring.records.map(placeOf))
  return former.records.filter(record => ids.has(hex(record.generationId)) && !there.has(placeOf(record)))
}

function placeOf(record: KeyringRecord): string {
  return memberKey(record) + hex(record.generationId)
}

function idsOf(generations: readonly Generation[]): ReadonlySet<string> {
  return new Set(generations.map(({ id }) => hex(id)))
}
