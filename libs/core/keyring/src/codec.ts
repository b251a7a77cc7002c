import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { assertLineage } from './generation.ts'
import { KeyringError } from './keyring-error.ts'
import {
  type Generation,
  type Keyring,
  type KeyringContents,
  type KeyringRecord,
  type Link,
  MAC_BYTES,
  MAX_GENERATIONS,
  MAX_KEYRING_BYTES,
  MAX_MEMBER_DATA_BYTES,
  MAX_MEMBERS,
  MAX_RECORDS,
  MAX_SEALED_KEK_BYTES,
  MAX_SEALS,
  MAX_WRAPPED_KEY_BYTES,
  MAX_WRAPPING_KEY_BYTES,
  type Member,
  type Seal,
  SIGNATURE_BYTES,
  SIGNING_KEY_BYTES,
} from './keyring.ts'
import { ENTRY_STATES, GENERATION_STATES, GENERATION_STEPS, RECORD_METHODS, SEAL_TYPES } from './registry.ts'
import { ID_BYTES } from './seal.ts'
import { validateContents } from './validate.ts'

/** The first bytes of every keyring: ASCII `SWKR`. */
const KEYRING_MAGIC = Uint8Array.of(0x53, 0x57, 0x4b, 0x52)
/** The only version so far. */
const KEYRING_VERSION = 1

/**
 * The one encoding of a keyring.
 *
 * @returns A fresh array of at most 832 KiB.
 * @throws {@link KeyringError} `KEYRING_MALFORMED`, `KEYRING_TOO_LARGE`, `KEYRING_RECORD_DAMAGED` or `KEYRING_NO_WAY_IN` if the
 *   value breaks a rule of the format.
 * @see docs/formats/keyring.md §3
 */
export function encodeKeyring(keyring: Keyring): Uint8Array {
  if (keyring.mac.byteLength !== MAC_BYTES) throw malformed(`MAC of ${keyring.mac.byteLength} bytes, not ${MAC_BYTES}`)
  const body = encodeContents(keyring)
  const encoded = new Uint8Array(body.byteLength + MAC_BYTES)
  encoded.set(body)
  encoded.set(keyring.mac, body.byteLength)
  return encoded
}

/**
 * Reads a keyring. Checks every rule that needs no key, also that each generation is vouched for; `mac` stays a claim until a
 * seal key has checked it.
 *
 * @returns A value of its own: `bytes` may change afterwards.
 * @throws {@link KeyringError} `KEYRING_MALFORMED`, `KEYRING_UNSUPPORTED`, `KEYRING_TOO_LARGE`, `KEYRING_RECORD_DAMAGED`,
 *   `KEYRING_NO_WAY_IN` or `KEYRING_LINEAGE_FORGED`.
 * @see docs/formats/keyring.md §3
 */
export function decodeKeyring(bytes: Uint8Array): Keyring {
  assertSize(bytes.byteLength)
  const reader = new ByteReader(Uint8Array.from(bytes))
  if (!reader.bytes('magic', KEYRING_MAGIC.byteLength).every((byte, index) => byte === KEYRING_MAGIC[index])) {
    throw malformed('it does not begin with SWKR')
  }
  const version = reader.uint8('version')
  if (version === 0) throw malformed('its version is 0')
  if (version !== KEYRING_VERSION) throw new KeyringError('KEYRING_UNSUPPORTED', `unknown version ${version}`)
  const keyring: Keyring = {
    clusterId: reader.bytes('cluster id', ID_BYTES),
    revision: reader.uint64('revision'),
    generations: reader.list('generations', MAX_GENERATIONS, () => readGeneration(reader)),
    seals: reader.list('seals', MAX_SEALS, () => readSeal(reader)),
    members: reader.list('members', MAX_MEMBERS, () => readMember(reader)),
    records: reader.list('records', MAX_RECORDS, () => readRecord(reader)),
    links: reader.list('links', MAX_GENERATIONS, () => readLink(reader)),
    mac: reader.bytes('MAC', MAC_BYTES),
  }
  reader.end()
  validateContents(keyring)
  assertLineage(keyring)
  return keyring
}

/** Everything before the MAC, which is what the MAC covers. Throws as {@link encodeKeyring}. */
export function encodeContents(contents: KeyringContents): Uint8Array {
  validateContents(contents)
  const writer = new ByteWriter()
  writer.bytes(KEYRING_MAGIC)
  writer.uint8(KEYRING_VERSION)
  writer.bytes(contents.clusterId)
  writer.uint64(contents.revision)
  writer.list(contents.generations, generation => {
    writeGeneration(writer, generation)
  })
  writer.list(contents.seals, seal => {
    writeSeal(writer, seal)
  })
  writer.list(contents.members, member => {
    writeMember(writer, member)
  })
  writer.list(contents.records, record => {
    writeRecord(writer, record)
  })
  writer.list(contents.links, link => {
    writeLink(writer, link)
  })
  assertSize(writer.byteLength + MAC_BYTES)
  return writer.finish()
}

function readGeneration(reader: ByteReader): Generation {
  return {
    number: reader.uint32('generation'),
    id: reader.bytes('generation id', ID_BYTES),
    parentId: reader.bytes('parent id', ID_BYTES),
    step: reader.registered(GENERATION_STEPS),
    state: reader.registered(GENERATION_STATES),
    keyId: reader.name('key id'),
    signingKey: reader.bytes('signing key', SIGNING_KEY_BYTES),
    signature: reader.bytes('signature', SIGNATURE_BYTES),
  }
}

/** Also the form in which two keyrings are asked whether they say the same of a generation. */
export function writeGeneration(writer: ByteWriter, generation: Generation): void {
  writer.uint32(generation.number)
  writer.bytes(generation.id)
  writer.bytes(generation.parentId)
  writer.registered(GENERATION_STEPS, generation.step)
  writer.registered(GENERATION_STATES, generation.state)
  writer.name(generation.keyId)
  writer.bytes(generation.signingKey)
  writer.bytes(generation.signature)
}

function readSeal(reader: ByteReader): Seal {
  return {
    sealId: reader.bytes('seal id', ID_BYTES),
    entryVersion: reader.uint32('entry version'),
    state: reader.registered(ENTRY_STATES),
    sealType: reader.registered(SEAL_TYPES),
    name: reader.name('seal name'),
  }
}

/** Also the form in which two versions of an entry are compared. */
export function writeSeal(writer: ByteWriter, { sealId, entryVersion, state, sealType, name }: Seal): void {
  writer.bytes(sealId)
  writer.uint32(entryVersion)
  writer.registered(ENTRY_STATES, state)
  writer.registered(SEAL_TYPES, sealType)
  writer.name(name)
}

function readMember(reader: ByteReader): Member {
  return {
    sealId: reader.bytes('seal id', ID_BYTES),
    memberId: reader.bytes('member id', ID_BYTES),
    entryVersion: reader.uint32('entry version'),
    state: reader.registered(ENTRY_STATES),
    label: reader.name('label'),
    wrappingKey: reader.prefixed('wrapping key', MAX_WRAPPING_KEY_BYTES),
    data: reader.prefixed('member data', MAX_MEMBER_DATA_BYTES),
  }
}

/** Also the form in which two versions of an entry are compared. */
export function writeMember(writer: ByteWriter, member: Member): void {
  writer.bytes(member.sealId)
  writer.bytes(member.memberId)
  writer.uint32(member.entryVersion)
  writer.registered(ENTRY_STATES, member.state)
  writer.name(member.label)
  writer.prefixed(member.wrappingKey)
  writer.prefixed(member.data)
}

function readRecord(reader: ByteReader): KeyringRecord {
  return {
    sealId: reader.bytes('seal id', ID_BYTES),
    memberId: reader.bytes('member id', ID_BYTES),
    generationId: reader.bytes('generation id', ID_BYTES),
    entryVersion: reader.uint32('entry version'),
    method: reader.registered(RECORD_METHODS),
    createdAtMs: reader.uint64('creation time'),
    sealedKek: reader.prefixed('sealed KEK', MAX_SEALED_KEK_BYTES),
    wrappedKey: reader.prefixed('wrapped key', MAX_WRAPPED_KEY_BYTES),
  }
}

/** Also the form in which two versions of an entry are compared. */
export function writeRecord(writer: ByteWriter, record: KeyringRecord): void {
  writer.bytes(record.sealId)
  writer.bytes(record.memberId)
  writer.bytes(record.generationId)
  writer.uint32(record.entryVersion)
  writer.registered(RECORD_METHODS, record.method)
  writer.uint64(record.createdAtMs)
  writer.prefixed(record.sealedKek)
  writer.prefixed(record.wrappedKey)
}

function readLink(reader: ByteReader): Link {
  return { toId: reader.bytes('link', ID_BYTES), wrappedKey: reader.prefixed('wrapped key', MAX_WRAPPED_KEY_BYTES) }
}

/** Also the form in which two links are compared. */
export function writeLink(writer: ByteWriter, { toId, wrappedKey }: Link): void {
  writer.bytes(toId)
  writer.prefixed(wrappedKey)
}

function assertSize(byteLength: number): void {
  if (byteLength > MAX_KEYRING_BYTES) {
    throw new KeyringError('KEYRING_TOO_LARGE', `keyring of ${byteLength} bytes, at most ${MAX_KEYRING_BYTES} allowed`)
  }
}
