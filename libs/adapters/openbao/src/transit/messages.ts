import { joinBytes } from '@sealwright/bytes'
import { allocateKeyBytes, decodeBase64, type Secret, SecretError } from '@sealwright/secret'
import {
  field,
  type JsonObject,
  optional,
  parseJsonObject,
  type Place,
  readBoolean,
  readCount,
  readObject,
  readString,
} from '../json.ts'
import { malformedField, memberOf, objectMember, secretTextOf } from '../secret-fields.ts'
import { parseSecretJson } from '../secret-json.ts'
import { type Answer } from '../transport.ts'
import { encodeBase64 } from './base64.ts'
import { parseCiphertext, type TransitCiphertext } from './ciphertext.ts'

const MS_PER_SECOND = 1_000

/** What a transit key says of itself. */
export interface TransitKey {
  /** `aes256-gcm96` and others. */
  readonly type: string
  readonly latestVersion: number
  /** Older versions do not decrypt. */
  readonly minDecryptionVersion: number
  readonly derived: boolean
  readonly softDeleted: boolean
  /** Whoever has a token for it can take the key out. */
  readonly exportable: boolean
  readonly deletionAllowed: boolean
}

/** The same, with the life of its versions. */
export interface TransitKeyVersions extends TransitKey {
  /** All that can be used, by number: when each was made, in milliseconds since 1970. OpenBao keeps whole seconds. */
  readonly versions: ReadonlyMap<number, number>
  /** Older versions do not encrypt; 0 if any may. */
  readonly minEncryptionVersion: number
  /** Older versions are gone for good; 0 if none is. */
  readonly minAvailableVersion: number
}

/** Body of an encryption. Fresh bytes for the caller to wipe. */
export function encryptBody(plaintext: Secret, associatedData: Uint8Array, keyVersion: number | undefined): Uint8Array {
  const version = keyVersion === undefined ? '' : `,"key_version":${keyVersion}`
  const base64 = plaintext.reveal(encodeBase64)
  const tail = `","associated_data":"${Buffer.from(associatedData).toString('base64')}"${version}}`
  try {
    return joinBytes([ascii('{"plaintext":"'), base64, ascii(tail)])
  } finally {
    base64.fill(0)
  }
}

/** Body of a decryption. */
export function decryptBody({ text }: TransitCiphertext, associatedData: Uint8Array): Uint8Array {
  return ascii(JSON.stringify({ ciphertext: text, associated_data: Buffer.from(associatedData).toString('base64') }))
}

/**
 * Reads the answer of an encryption.
 *
 * @param keyVersion - the version that was asked for, if one was: the answer must be by that one.
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`, as all readers here.
 */
export function parseEncrypted({ body, request }: Answer, keyVersion: number | undefined): TransitCiphertext {
  const data = field(parseJsonObject(body, request), 'data', readObject, { request, path: '' })
  const place = { request, path: 'data' }
  const ciphertext = parseCiphertext(field(data, 'ciphertext', readString, place))
  const answered = field(data, 'key_version', readCount, place)
  if (ciphertext?.keyVersion !== answered || (keyVersion ?? answered) !== answered) {
    throw malformedField(request, 'data.ciphertext')
  }
  return ciphertext
}

/** Reads the answer of a decryption, and wipes the body, whatever happens. The caller owns, and wipes, the result. */
export function parseDecrypted(answer: Answer): Secret {
  const { body, request } = answer
  try {
    const data = objectMember(parseSecretJson(body, request), 'data', request)
    using base64 = secretTextOf(answer, memberOf(data, 'plaintext'), 'data.plaintext')
    return base64.reveal(decodeBase64)
  } catch (error) {
    if (error instanceof SecretError) throw malformedField(request, 'data.plaintext')
    throw error
  } finally {
    body.fill(0)
  }
}

/** Reads the answer about a key. */
export function parseKey(answer: Answer): TransitKey {
  return readKey(...dataOf(answer))
}

function readKey(data: JsonObject, place: Place): TransitKey {
  const flag = (name: string): boolean => field(data, name, optional(readBoolean), place) ?? false
  return {
    type: field(data, 'type', readString, place),
    latestVersion: field(data, 'latest_version', readCount, place),
    minDecryptionVersion: field(data, 'min_decryption_version', readCount, place),
    derived: flag('derived'),
    softDeleted: flag('soft_deleted'),
    exportable: flag('exportable'),
    deletionAllowed: flag('deletion_allowed'),
  }
}

/**
 * Reads the answer about a key with its versions, which only symmetric keys tell in this way.
 *
 * @throws {@link OpenBaoError} `OPENBAO_RESPONSE_MALFORMED`, also if the newest version is not among them.
 */
export function parseKeyVersions(answer: Answer): TransitKeyVersions {
  const { request } = answer
  const [data, place] = dataOf(answer)
  const key = readKey(data, place)
  const keys = field(data, 'keys', readObject, place)
  const versions = new Map<number, number>()
  for (const name of Object.keys(keys)) {
    if (!/^[1-9]\d{0,9}$/.test(name)) throw malformedField(request, 'data.keys')
    versions.set(Number(name), field(keys, name, readCount, { request, path: 'data.keys' }) * MS_PER_SECOND)
  }
  if (!versions.has(key.latestVersion)) throw malformedField(request, 'data.keys')
  return {
    ...key,
    versions,
    minEncryptionVersion: field(data, 'min_encryption_version', readCount, place),
    minAvailableVersion: field(data, 'min_available_version', readCount, place),
  }
}

function dataOf({ body, request }: Answer): readonly [JsonObject, Place] {
  const data = field(parseJsonObject(body, request), 'data', readObject, { request, path: '' })
  return [data, { request, path: 'data' }]
}

/** Into memory of its own: a body is joined from it that holds a key. */
function ascii(text: string): Uint8Array {
  const bytes = allocateKeyBytes(text.length)
  new TextEncoder().encodeInto(text, bytes)
  return bytes
}
