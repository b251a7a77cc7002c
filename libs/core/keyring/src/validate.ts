import { createHash } from 'node:crypto'

import { EnvelopeError, type EnvelopePurpose, parseEnvelope } from '@sealwright/envelope'

import { isName, malformed } from './byte-reader.ts'
import { compareBytes, hex, sameBytes, textBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import {
  findGeneration,
  type Generation,
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
  memberKey,
  type Seal,
  SIGNATURE_BYTES,
  SIGNING_KEY_BYTES,
} from './keyring.ts'
import { compareGenerations, currentGeneration, FIRST_GENERATION } from './lineage.ts'
import { sealTypeOf } from './registry.ts'
import { ID_BYTES, KEY_BYTES } from './seal.ts'

const MAX_UINT32 = 0xffff_ffff

/**
 * The one set of rules for a keyring, run before each encoding and after each decoding.
 *
 * @throws {@link KeyringError} `KEYRING_MALFORMED`, `KEYRING_UNSUPPORTED`, `KEYRING_TOO_LARGE`, `KEYRING_RECORD_DAMAGED` or
 *   `KEYRING_NO_WAY_IN`.
 * @see docs/formats/keyring.md §5
 */
export function validateContents(contents: KeyringContents): void {
  const { clusterId, revision, seals, members, records, links } = contents
  assertId('cluster id', clusterId)
  assertNumber('revision', revision, Number.MAX_SAFE_INTEGER)
  assertGenerations(contents)
  assertCount('seals', seals, MAX_SEALS)
  assertCount('members', members, MAX_MEMBERS)
  assertCount('records', records, MAX_RECORDS)
  for (const seal of seals) assertSeal(seal)
  for (const member of members) assertMember(member)
  for (const record of records) assertRecord(record)
  for (const link of links) assertLink(link, contents)
  assertOrder('seals', seals, compareSeals)
  assertOrder('members', members, compareMembers)
  assertOrder('records', records, compareRecords)
  assertOrder('links', links, compareLinks)
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
    compareBytes(a.sealId, b.sealId) ||
    compareBytes(a.memberId, b.memberId) ||
    compareBytes(a.generationId, b.generationId)
  )
}

export function compareLinks(a: Link, b: Link): number {
  return compareBytes(a.toId, b.toId)
}

/** The id of the KEK of a record, 32 bytes: the SHA-256 of its sealed form. */
export function kekIdOf(sealedKek: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(sealedKek).digest())
}

function assertGenerations({ generations }: KeyringContents): void {
  assertCount('generations', generations, MAX_GENERATIONS)
  const numbersById = new Map<string, number>()
  for (const generation of generations) {
    assertGeneration(generation)
    const { number, id, parentId } = generation
    // The first one's parent is no generation, and stands for number 0. A parent is listed before its children.
    const parentNumber = number === FIRST_GENERATION && isZero(parentId) ? 0 : numbersById.get(hex(parentId))
    if (parentNumber !== number - 1)
      throw malformed(`generation ${number} (${generation.keyId}) follows none that is listed`)
    numbersById.set(hex(id), number)
  }
  assertOrder('generations', generations, compareGenerations)
  assertUnique(
    'key id',
    generations.map(({ keyId }) => keyId),
  )
  if (numbersById.size !== generations.length) throw malformed('a generation stands twice')
  if (generations.filter(({ number }) => number === FIRST_GENERATION).length !== 1) {
    throw malformed('it has not one first generation')
  }
  if (!generations.some(({ state }) => state === 'active')) throw malformed('no generation is active')
}

function assertGeneration({ number, id, parentId, step, keyId, signingKey, signature }: Generation): void {
  assertNumber('generation', number, MAX_UINT32)
  assertId('generation id', id)
  // Zeros stand for "none" where a parent is named: a generation of that id would be its own ancestor.
  if (isZero(id)) throw malformed('a generation id is zero')
  assertId('parent id', parentId)
  if (number === FIRST_GENERATION && step !== 'chained') throw malformed('its first generation breaks a chain')
  assertName('key id', keyId)
  if (signingKey.byteLength !== SIGNING_KEY_BYTES) throw malformed(`signing key of ${signingKey.byteLength} bytes`)
  if (signature.byteLength !== SIGNATURE_BYTES) throw malformed(`signature of ${signature.byteLength} bytes`)
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
  assertId('generation id', record.generationId)
  assertNumber('entry version', record.entryVersion, MAX_UINT32)
  if (!Number.isSafeInteger(record.createdAtMs) || record.createdAtMs < 0) throw malformed('creation time out of range')
  if (record.sealedKek.byteLength === 0) throw malformed('a sealed KEK is empty')
  assertLength('sealed KEK', record.sealedKek, MAX_SEALED_KEK_BYTES)
  const keyRef = assertWrappedKey('keyring-record', record.wrappedKey)
  if (!sameBytes(keyRef, kekIdOf(record.sealedKek))) {
    throw new KeyringError(
      'KEYRING_RECORD_DAMAGED',
      `the sealed KEK or the wrapped key of member ${hex(record.memberId)} was changed`,
    )
  }
}

function assertLink(link: Link, contents: KeyringContents): void {
  const to = findGeneration(contents, link.toId)
  const from = to && findGeneration(contents, to.parentId)
  if (from === undefined) throw malformed('a link leads to no generation that follows another')
  if (to?.step !== 'chained') throw malformed(`a link leads over the break before generation ${String(to?.number)}`)
  const keyRef = assertWrappedKey('keyring-link', link.wrappedKey)
  if (!sameBytes(keyRef, textBytes(from.keyId))) throw malformed(`the link from ${from.keyId} names another key`)
}

/** @returns the key reference of the envelope. */
function assertWrappedKey(purpose: EnvelopePurpose, wrappedKey: Uint8Array): Uint8Array {
  assertLength('wrapped key', wrappedKey, MAX_WRAPPED_KEY_BYTES)
  const envelope = parseWrappedKey(wrappedKey)
  if (envelope.purpose !== purpose) throw malformed(`a wrapped key is an envelope for ${envelope.purpose}`)
  if (envelope.ciphertext.byteLength !== KEY_BYTES) {
    throw malformed(`a wrapped key holds ${envelope.ciphertext.byteLength} bytes, not ${KEY_BYTES}`)
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
  const membersById = new Map(members.map(member => [memberKey(member), member]))
  const generationIds = new Set(generations.map(({ id }) => hex(id)))
  assertUnique(
    'seal name',
    seals.filter(({ state }) => state === 'active').map(({ name }) => name),
  )
  for (const { sealId, memberId } of members) {
    if (!sealsById.has(hex(sealId))) throw malformed(`member ${hex(memberId)} of an unknown seal`)
  }
  for (const record of records) {
    const { sealId, memberId, generationId, method } = record
    const seal = sealsById.get(hex(sealId))
    const member = membersById.get(memberKey(record))
    if (!generationIds.has(hex(generationId))) throw malformed('a record of a generation that is not listed')
    if (seal?.state !== 'active' || member?.state !== 'active') {
      throw malformed(`record of a removed or unknown member ${hex(memberId)}`)
    }
    if (sealTypeOf(method) !== seal.sealType) throw malformed(`record by ${method} for a seal of type ${seal.sealType}`)
  }
}

/** At least one record must lead to the current generation, by itself or over links. */
function assertWayIn(contents: KeyringContents): void {
  const current = currentGeneration(contents)
  const starts = new Set(contents.records.map(({ generationId }) => hex(generationId)))
  // Backwards from the current one, as far as links lead: one pass, however many records there are.
  const linked = new Set(contents.links.map(({ toId }) => hex(toId)))
  for (let step: Generation | undefined = current; step !== undefined;) {
    if (starts.has(hex(step.id))) return
    step = linked.has(hex(step.id)) ? findGeneration(contents, step.parentId) : undefined
  }
  throw new KeyringError('KEYRING_NO_WAY_IN', `no record leads to generation ${current.number} (${current.keyId})`)
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0)
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
