import { allocateKeyBytes, decodeBase64, type Secret, SecretError } from '@sealwright/secret'
import { field, optional, parseJsonObject, readBoolean, readCount, readObject, readString } from '../json.ts'
import { malformedField, memberOf, objectMember, secretTextOf } from '../secret-fields.ts'
import { joinBytes, parseSecretJson } from '../secret-json.ts'
import { type Answer } from '../transport.ts'
import { encodeBase64 } from './base64.ts'
import { parseCiphertext, type TransitCiphertext } from './ciphertext.ts'

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
export function parseKey({ body, request }: Answer): TransitKey {
  const data = field(parseJsonObject(body, request), 'data', readObject, { request, path: '' })
  const place = { request, path: 'data' }
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

/** Into memory of its own: a body is joined from it that holds a key. */
function ascii(text: string): Uint8Array {
  const bytes = allocateKeyBytes(text.length)
  new TextEncoder().encodeInto(text, bytes)
  return bytes
}
