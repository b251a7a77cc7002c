import { createHash } from 'node:crypto'

import { EnvelopeError, type EnvelopePurpose, parseEnvelope } from '@sealwright/envelope'

import { isName, malformed } from './byte-reader.ts'
import { compareBytes, hex, sameBytes, textBytes } from './bytes.ts'
import { chainStart } from './chain.ts'
import { KeyringError } from './keyring-error.ts'
import {
  type Generation,
  KEY_CHECK_BYTES,
  type KeyringContents,
  type KeyringRecord,
  type Link,
  MAX_GENERATIONS,
  MAX_MEMBER_DATA_BYTES,
  MAX_MEMBERS,
  MAX_RECORDS,
  MAX_SEALED_KEK_BYTES,
  MAX_SEALS,
  MAX_WRAPPED_KEY_BYTES,
  MAX_WRAPPING_KEY_BYTES,
  type Member,
  type Seal,
} from './keyring.ts'
import { sealTypeOf } from './registry.ts'
import { ID_BYTES, KEY_BYTES } from './seal.ts'

const MAX_UINT32 = 0xffff_ffff
const MAX_UINT8 = 0xff

/**
 * The one set of rules for a keyring, run before each encoding and after each decoding.
 *
 * @throws {@link KeyringError} `KEYRING_MALFORMED`, `KEYRING_UNSUPPORTED`, `KEYRING_TOO_LARGE`, `KEYRING_RECORD_DAMAGED` or
 *   `KEYRING_NO_WAY_IN`.
 * @see docs/formats/keyring.md §5
 */
export function validateContents(contents: KeyringContents): void {
  const { clusterId, revision, generations, seals, members, records, links } = contents
  assertId('cluster id', clusterId)
  assertNumber('revision', revision, Number.MAX_SAFE_INTEGER)
  assertGenerations(contents)
  assertCount('seals', seals, MAX_SEALS)
  assertCount('members', members, MAX_MEMBERS)
  assertCount('records', records, MAX_RECORDS)
  assertCount('links', links, MAX_GENERATIONS - 1)
  for (const seal of seals) assertSeal(seal)
  for (const member of members) assertMember(member)
  for (const record of records) assertRecord(record)
  for (const link of links) assertLink(link, generations)
  assertOrder('seals', seals, compareSeals)
  assertOrder('members', members, compareMembers)
  assertOrder('records', records, compareRecords)
  assertOrder('links', links, compareLinks)
  assertContinuity(contents)
  assertReferences(contents)
  assertWayIn(contents)
}

export function compareSeals(a: Seal, b: Seal): number {
  return compareBytes(a.sealId, b.sealId)
}

export function compareMembers(a: Member, b: Member): number {
  return compareBytes(a.sealId, b.sealId) || compareBytes(a.memberId, b.memberId)
}

export function compareRecords(a: KeyringRecord, b: KeyringRecord): number {
  return (
    a.generation - b.generation ||
    compareBytes(a.sealId, b.sealId) ||
    compareBytes(a.memberId, b.memberId) ||
    a.slot - b.slot
  )
}

export function compareLinks(a: Link, b: Link): number {
  return a.from - b.from
}

/** The id of the KEK of a record, 32 bytes: the SHA-256 of its sealed form. */
export function kekIdOf(sealedKek: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(sealedKek).digest())
}

function assertGenerations({ generations, currentGeneration }: KeyringContents): void {
  assertCount('generations', generations, MAX_GENERATIONS)
  const oldest = generations[0]
  if (oldest === undefined) throw malformed('it has no generation')
  for (const [index, { number, keyCheck, keyId }] of generations.entries()) {
    assertNumber('generation', number, MAX_UINT32)
    if (number !== oldest.number + index) throw malformed('its generations have a gap or are out of order')
    if (keyCheck.byteLength !== KEY_CHECK_BYTES) throw malformed(`key check of ${keyCheck.byteLength} bytes`)
    assertName('key id', keyId)
  }
  assertUnique(
    'key id',
    generations.map(({ keyId }) => keyId),
  )
  assertUnique(
    'key check',
    generations.map(({ keyCheck }) => hex(keyCheck)),
  )
  if (!generations.some(({ number }) => number === currentGeneration)) {
    throw malformed(`its current generation, ${currentGeneration}, is not listed`)
  }
}

function assertSeal(seal: Seal): void {
  assertId('seal id', seal.sealId)
  assertNumber('entry version', seal.entryVersion, MAX_UINT32)
  assertName('seal name', seal.name)
}

function assertMember(member: Member): void {
  assertId('seal id', member.sealId)
  assertId('member id', member.memberId)
  assertNumber('entry version', member.entryVersion, MAX_UINT32)
  assertName('label', member.label)
  assertLength('wrapping key', member.wrappingKey, MAX_WRAPPING_KEY_BYTES)
  assertLength('member data', member.data, MAX_MEMBER_DATA_BYTES)
  if (member.state === 'removed' && member.wrappingKey.byteLength + member.data.byteLength !== 0) {
    throw malformed(`member ${hex(member.memberId)} is removed, but still has a key or data`)
  }
}

function assertRecord(record: KeyringRecord): void {
  assertId('seal id', record.sealId)
  assertId('member id', record.memberId)
  if (!Number.isInteger(record.slot) || record.slot < 0 || record.slot > MAX_UINT8) throw malformed('slot out of range')
  assertNumber('entry version', record.entryVersion, MAX_UINT32)
  if (!Number.isSafeInteger(record.createdAtMs) || record.createdAtMs < 0) throw malformed('creation time out of range')
  if (record.sealedKek.byteLength === 0) throw malformed('a sealed KEK is empty')
  assertLength('sealed KEK', record.sealedKek, MAX_SEALED_KEK_BYTES)
  const keyRef = assertWrappedKey('keyring-record', record.wrappedKey, [KEY_BYTES])
  if (!sameBytes(keyRef, kekIdOf(record.sealedKek))) {
    throw new KeyringError(
      'KEYRING_RECORD_DAMAGED',
      `the sealed KEK or the wrapped key of member ${hex(record.memberId)}, generation ${record.generation}, was changed`,
    )
  }
}

function assertLink(link: Link, generations: readonly Generation[]): void {
  const from = generations.find(({ number }) => number === link.from)
  const to = generations.find(({ number }) => number === link.from + 1)
  if (from === undefined || to === undefined) throw malformed(`link from generation ${link.from} to none`)
  const keyRef = assertWrappedKey('keyring-link', link.wrappedKey, [KEY_BYTES, KEY_CHECK_BYTES])
  if (!sameBytes(keyRef, textBytes(from.keyId))) throw malformed(`link ${link.from} names another key`)
}

/** @returns the key reference of the envelope. */
function assertWrappedKey(purpose: EnvelopePurpose, wrappedKey: Uint8Array, lengths: readonly number[]): Uint8Array {
  assertLength('wrapped key', wrappedKey, MAX_WRAPPED_KEY_BYTES)
  const envelope = parseWrappedKey(wrappedKey)
  if (envelope.purpose !== purpose) throw malformed(`a wrapped key is an envelope for ${envelope.purpose}`)
  if (!lengths.includes(envelope.ciphertext.byteLength)) {
    throw malformed(`a wrapped key holds ${envelope.ciphertext.byteLength} bytes, not ${lengths.join(' or ')}`)
  }
  return envelope.keyRef
}

function parseWrappedKey(wrappedKey: Uint8Array): ReturnType<typeof parseEnvelope> {
  try {
    return parseEnvelope(wrappedKey)
  } catch (cause) {
    if (cause instanceof EnvelopeError && cause.code === 'ENVELOPE_UNSUPPORTED') {
      throw new KeyringError('KEYRING_UNSUPPORTED', 'a wrapped key is an envelope that a newer version may know', {
        cause,
      })
    }
    throw new KeyringError('KEYRING_MALFORMED', 'not a keyring: a wrapped key is not an envelope', { cause })
  }
}

function assertReferences({ generations, seals, members, records }: KeyringContents): void {
  const sealsById = new Map(seals.map(seal => [hex(seal.sealId), seal]))
  const membersById = new Map(members.map(member => [hex(member.sealId) + hex(member.memberId), member]))
  const numbers = new Set(generations.map(({ number }) => number))
  assertUnique(
    'seal name',
    seals.filter(({ state }) => state === 'active').map(({ name }) => name),
  )
  for (const { sealId, memberId } of members) {
    if (!sealsById.has(hex(sealId))) throw malformed(`member ${hex(memberId)} of an unknown seal`)
  }
  for (const { sealId, memberId, generation, method } of records) {
    const seal = sealsById.get(hex(sealId))
    const member = membersById.get(hex(sealId) + hex(memberId))
    if (!numbers.has(generation)) throw malformed(`record of unknown generation ${generation}`)
    if (seal?.state !== 'active' || member?.state !== 'active') {
      throw malformed(`record of a removed or unknown member ${hex(memberId)}`)
    }
    if (sealTypeOf(method) !== seal.sealType) throw malformed(`record by ${method} for a seal of type ${seal.sealType}`)
  }
}

/** Each generation but the lowest must be vouched for by the one before it: else anybody could put one on top. */
function assertContinuity({ generations, links }: KeyringContents): void {
  for (const { number } of generations.slice(0, -1)) {
    if (!links.some(({ from }) => from === number)) throw malformed(`generation ${number} has no link to the next one`)
  }
}

/** At least one record must lead to the current generation, by itself or over wrapped keys. */
function assertWayIn(contents: KeyringContents): void {
  const { records, currentGeneration } = contents
  const lowest = chainStart(contents, currentGeneration)
  if (!records.some(({ generation }) => generation >= lowest && generation <= currentGeneration)) {
    throw new KeyringError('KEYRING_NO_WAY_IN', `no record leads to generation ${currentGeneration}`)
  }
}

function assertCount(field: string, entries: readonly unknown[], maxEntries: number): void {
  if (entries.length > maxEntries) {
    throw new KeyringError('KEYRING_TOO_LARGE', `${entries.length} ${field}, at most ${maxEntries} allowed`)
  }
}

function assertOrder<Entry>(field: string, entries: readonly Entry[], compare: (a: Entry, b: Entry) => number): void {
  let previous: Entry | undefined
  for (const entry of entries) {
    if (previous !== undefined && compare(previous, entry) >= 0)
      throw malformed(`its ${field} are out of order or double`)
    previous = entry
  }
}

function assertUnique(field: string, values: readonly string[]): void {
  if (new Set(values).size !== values.length) throw malformed(`a ${field} stands twice`)
}

function assertId(field: string, id: Uint8Array): void {
  if (id.byteLength !== ID_BYTES) throw malformed(`${field} of ${id.byteLength} bytes, not ${ID_BYTES}`)
}

function assertNumber(field: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 1 || value > max) throw malformed(`${field} is not 1 to ${max}`)
}

function assertName(field: string, name: string): void {
  if (!isName(name)) throw malformed(`${field} is not 1 to 64 printable ASCII characters`)
}

function assertLength(field: string, bytes: Uint8Array, maxBytes: number): void {
  if (bytes.byteLength > maxBytes) {
    throw new KeyringError('KEYRING_TOO_LARGE', `${field} of ${bytes.byteLength} bytes, at most ${maxBytes} allowed`)
  }
}
