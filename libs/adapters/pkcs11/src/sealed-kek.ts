import { type RecordMethod } from '@sealwright/keyring'
import { FieldError, type FieldReader, join, readFields, sized, u8 } from './fields.ts'
import { OAEP_HASHES, type OaepHash, oaepHashNumber } from './oaep-hash.ts'
import { Pkcs11Error } from './errors.ts'
import { KEY_REFERENCE_BYTES } from './key-reference.ts'

/** ASCII "SWPK". */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x50, 0x4b)
const VERSION = 1
const METHOD_AES_GCM = 1
const METHOD_RSA_OAEP = 2
/** Where RSA-OAEP has its hash. */
const NO_HASH = 0

/** Length of the initialisation vector of AES-GCM (NIST SP 800-38D, clause 5.2.1.1: 96 bits). */
export const IV_BYTES = 12
/** A KEK of 32 bytes and a tag of 16. */
export const GCM_CIPHERTEXT_BYTES = 48
/** As long as the modulus: of 2,048 to 16,384 bits. */
const MIN_RSA_CIPHERTEXT_BYTES = 256
const MAX_RSA_CIPHERTEXT_BYTES = 2048

/** A key-encryption key that one key on a token can open, taken apart. Nothing in it is secret. */
export type SealedKek = {
  /** SHA-256 that stands for the key on the token, 32 bytes. A record of another key is refused without asking anybody. */
  readonly keyReference: Uint8Array
} & (
  | {
      readonly method: 'pkcs11-aes-gcm'
      /** 12 bytes. */
      readonly iv: Uint8Array
      /** 32 bytes ‖ tag (16). */
      readonly ciphertext: Uint8Array
    }
  | {
      readonly method: 'pkcs11-rsa-oaep'
      readonly oaepHash: OaepHash
      /** As long as the modulus. */
      readonly ciphertext: Uint8Array
    }
)

/**
 * Writes the container.
 *
 * @returns magic (4) ‖ version (1) ‖ method (1) ‖ hash (1) ‖ key reference (32) ‖ with AES-GCM: iv (12) ‖ ciphertext (48); with RSA-OAEP:
 * length (2) ‖ ciphertext.
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT` for what the decoder would refuse.
 * @see docs/formats/pkcs11-sealed-kek.md
 */
export function encodeSealedKek(kek: SealedKek): Uint8Array {
  const isGcm = kek.method === 'pkcs11-aes-gcm'
  const bytes = join([
    MAGIC,
    u8(VERSION),
    u8(isGcm ? METHOD_AES_GCM : METHOD_RSA_OAEP),
    u8(isGcm ? NO_HASH : oaepHashNumber(kek.oaepHash)),
    kek.keyReference,
    isGcm ? [kek.iv, kek.ciphertext] : sized(kek.ciphertext),
  ])
  try {
    decodeSealedKek(bytes)
  } catch (cause) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', 'no sealed key can be written of this', { cause })
  }
  return bytes
}

/**
 * Reads the container. Whether the ciphertext is whole, only its token can tell.
 *
 * @throws {@link Pkcs11Error} `PKCS11_BLOB_MALFORMED`.
 */
export function decodeSealedKek(bytes: Uint8Array): SealedKek {
  try {
    const reader = readFields(bytes)
    const kek = readSealedKek(reader)
    reader.end()
    return kek
  } catch (cause) {
    if (!(cause instanceof FieldError)) throw cause
    throw malformed(cause.message, cause)
  }
}

/** A record must say how its sealed key was made: else one that somebody else has made could pass for the token's own. */
export function assertMadeBy(recorded: RecordMethod, { method }: SealedKek): void {
  if (recorded === method) return
  throw new Pkcs11Error(
    'PKCS11_METHOD_MISMATCH',
    `this key is ${method}, and its record says ${recorded}: the record was changed; restore it from a copy, or open by another seal`,
  )
}

function readSealedKek(reader: FieldReader): SealedKek {
  if (Buffer.compare(reader.bytes(MAGIC.byteLength), MAGIC) !== 0) throw malformed('it does not begin with "SWPK"')
  const version = reader.u8()
  if (version !== VERSION) throw malformed(`version ${version} is not known here`)
  const method = reader.u8()
  const hash = reader.u8()
  const keyReference = Uint8Array.from(reader.bytes(KEY_REFERENCE_BYTES))
  if (method === METHOD_AES_GCM) {
    if (hash !== NO_HASH) throw malformed('AES-GCM has no hash')
    return {
      method: 'pkcs11-aes-gcm',
      keyReference,
      iv: Uint8Array.from(reader.bytes(IV_BYTES)),
      ciphertext: Uint8Array.from(reader.bytes(GCM_CIPHERTEXT_BYTES)),
    }
  }
  if (method !== METHOD_RSA_OAEP) throw malformed(`method ${method} is not known here`)
  const oaepHash = OAEP_HASHES.get(hash)
  if (oaepHash === undefined) throw malformed(`hash ${hash} is not known here`)
  const ciphertext = Uint8Array.from(reader.sized())
  if (ciphertext.byteLength < MIN_RSA_CIPHERTEXT_BYTES || ciphertext.byteLength > MAX_RSA_CIPHERTEXT_BYTES) {
    throw malformed(`no RSA key that is used gives ${ciphertext.byteLength} bytes`)
  }
  return { method: 'pkcs11-rsa-oaep', oaepHash, keyReference, ciphertext }
}

function malformed(why: string, cause?: unknown): Pkcs11Error {
  const message = `this is no sealed key we can use: ${why}; restore it from a copy, or open by another seal`
  return new Pkcs11Error('PKCS11_BLOB_MALFORMED', message, { cause })
}
