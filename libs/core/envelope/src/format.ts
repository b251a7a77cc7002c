import { EnvelopeError } from './envelope-error.ts'
import { XAES_NONCE_BYTES, XAES_TAG_BYTES } from './xaes-256-gcm.ts'

/** The first bytes of every envelope: ASCII `SWEV`. */
export const ENVELOPE_MAGIC = Uint8Array.of(0x53, 0x57, 0x45, 0x56)
/** The only version so far. */
export const ENVELOPE_VERSION = 1
/** The only algorithm so far: XAES-256-GCM. */
export const ALGORITHM_XAES_256_GCM = 1

/** Longest key reference, in bytes. A key id that OpenBao is told fits, and so does a SHA-256. */
export const MAX_KEY_REF_BYTES = 64
/**
 * Longest plaintext, in bytes: 1 MiB. OpenBao hands less than 1 KiB to its seal, and a storage entry of its raft backend
 * may hold 1 MiB by default, so nothing longer could come back. An envelope is always held in memory as a whole.
 */
export const MAX_PLAINTEXT_BYTES = 1_048_576

/** What an envelope is for. A ciphertext made for one purpose never opens as another. */
export type EnvelopePurpose = 'openbao-blob' | 'keyring-record' | 'keyring-link' | 'kms-seed'

/** The numbers of the purposes on the wire. 0 is never given; numbers are never given twice. */
const PURPOSE_NUMBERS: Readonly<Record<EnvelopePurpose, number>> = {
  'openbao-blob': 1,
  'keyring-record': 2,
  'keyring-link': 3,
  'kms-seed': 4,
}

const VERSIONS: ReadonlyMap<number, true> = new Map([[ENVELOPE_VERSION, true]])
const ALGORITHMS: ReadonlyMap<number, true> = new Map([[ALGORITHM_XAES_256_GCM, true]])
const PURPOSES: ReadonlyMap<number, EnvelopePurpose> = new Map([
  [PURPOSE_NUMBERS['openbao-blob'], 'openbao-blob'],
  [PURPOSE_NUMBERS['keyring-record'], 'keyring-record'],
  [PURPOSE_NUMBERS['keyring-link'], 'keyring-link'],
  [PURPOSE_NUMBERS['kms-seed'], 'kms-seed'],
])

const OFFSET_VERSION = 4
const OFFSET_ALGORITHM = 5
const OFFSET_PURPOSE = 6
const OFFSET_KEY_REF_LENGTH = 7
const OFFSET_KEY_REF = 8
/** Width of the ciphertext length. */
const LENGTH_BYTES = 4
/** Everything but the key reference and the ciphertext. */
const FIXED_BYTES = OFFSET_KEY_REF + XAES_NONCE_BYTES + LENGTH_BYTES + XAES_TAG_BYTES

/** Longest envelope, in bytes. */
export const MAX_ENVELOPE_BYTES = FIXED_BYTES + MAX_KEY_REF_BYTES + MAX_PLAINTEXT_BYTES

/** The fields of an envelope: views, not copies. Nothing in it is authenticated before it is decrypted. */
export interface Envelope {
  readonly purpose: EnvelopePurpose
  /** Names the key that decrypts it: 1 to 64 bytes. */
  readonly keyRef: Uint8Array
  /** 24 bytes. */
  readonly nonce: Uint8Array
  /** 1 byte to 1 MiB. */
  readonly ciphertext: Uint8Array
  /** 16 bytes. */
  readonly tag: Uint8Array
  /** Every byte before the ciphertext, as it goes into the associated data. */
  readonly header: Uint8Array
}

/**
 * The bytes before the ciphertext.
 *
 * @param fields.keyRef - 1 to 64 bytes; the caller has checked it, as the other sizes.
 */
export function encodeHeader(fields: {
  readonly purpose: EnvelopePurpose
  readonly keyRef: Uint8Array
  readonly nonce: Uint8Array
  readonly ciphertextBytes: number
}): Uint8Array {
  const { purpose, keyRef, nonce, ciphertextBytes } = fields
  const header = new Uint8Array(OFFSET_KEY_REF + keyRef.byteLength + nonce.byteLength + LENGTH_BYTES)
  header.set(ENVELOPE_MAGIC)
  header[OFFSET_VERSION] = ENVELOPE_VERSION
  header[OFFSET_ALGORITHM] = ALGORITHM_XAES_256_GCM
  header[OFFSET_PURPOSE] = PURPOSE_NUMBERS[purpose]
  header[OFFSET_KEY_REF_LENGTH] = keyRef.byteLength
  header.set(keyRef, OFFSET_KEY_REF)
  header.set(nonce, OFFSET_KEY_REF + keyRef.byteLength)
  new DataView(header.buffer).setUint32(header.byteLength - LENGTH_BYTES, ciphertextBytes)
  return header
}

/**
 * Splits an envelope into its fields. Checks the layout; decrypts nothing.
 *
 * @param bytes - magic (4) ‖ version (1) ‖ algorithm (1) ‖ purpose (1) ‖ key reference length (1) ‖ key reference (1…64) ‖
 *   nonce (24) ‖ ciphertext length (4) ‖ ciphertext (1…1,048,576) ‖ tag (16).
 * @returns Views into `bytes`, not copies.
 * @throws {@link EnvelopeError} `ENVELOPE_MALFORMED`, `ENVELOPE_UNSUPPORTED` or `ENVELOPE_TOO_LARGE`.
 * @see docs/formats/envelope.md §2
 */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.byteLength > MAX_ENVELOPE_BYTES) {
    throw new EnvelopeError('ENVELOPE_TOO_LARGE', `${bytes.byteLength} bytes, at most ${MAX_ENVELOPE_BYTES} allowed`)
  }
  if (!ENVELOPE_MAGIC.every((byte, index) => bytes[index] === byte)) throw malformed('it does not begin with SWEV')
  requireKnown('version', bytes[OFFSET_VERSION], VERSIONS)
  requireKnown('algorithm', bytes[OFFSET_ALGORITHM], ALGORITHMS)
  const purpose = requireKnown('purpose', bytes[OFFSET_PURPOSE], PURPOSES)

  const keyRefBytes = bytes[OFFSET_KEY_REF_LENGTH]
  if (keyRefBytes === undefined) throw malformed('it ends inside the header')
  if (keyRefBytes === 0 || keyRefBytes > MAX_KEY_REF_BYTES) {
    throw malformed(`key reference of ${keyRefBytes} bytes, 1 to ${MAX_KEY_REF_BYTES} allowed`)
  }
  const nonceStart = OFFSET_KEY_REF + keyRefBytes
  const lengthStart = nonceStart + XAES_NONCE_BYTES
  const headerEnd = lengthStart + LENGTH_BYTES
  if (bytes.byteLength < headerEnd) throw malformed('it ends inside the header')

  const ciphertextBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(lengthStart)
  if (ciphertextBytes === 0) throw malformed('the ciphertext is empty')
  if (ciphertextBytes > MAX_PLAINTEXT_BYTES) {
    throw new EnvelopeError(
      'ENVELOPE_TOO_LARGE',
      `ciphertext of ${ciphertextBytes} bytes, at most ${MAX_PLAINTEXT_BYTES} allowed`,
    )
  }
  const ciphertextEnd = headerEnd + ciphertextBytes
  if (bytes.byteLength !== ciphertextEnd + XAES_TAG_BYTES) {
    throw malformed(`${bytes.byteLength} bytes, but its fields say ${ciphertextEnd + XAES_TAG_BYTES}`)
  }
  return {
    purpose,
    keyRef: bytes.subarray(OFFSET_KEY_REF, nonceStart),
    nonce: bytes.subarray(nonceStart, lengthStart),
    ciphertext: bytes.subarray(headerEnd, ciphertextEnd),
    tag: bytes.subarray(ciphertextEnd),
    header: bytes.subarray(0, headerEnd),
  }
}

/** The value that `known` gives to `number`. 0 was never given to anything; any other number may come from a newer version. */
function requireKnown<T>(field: string, number: number | undefined, known: ReadonlyMap<number, T>): T {
  if (number === undefined) throw malformed('it ends inside the header')
  if (number === 0) throw malformed(`its ${field} is 0`)
  const value = known.get(number)
  if (value === undefined) throw new EnvelopeError('ENVELOPE_UNSUPPORTED', `unknown ${field} ${number}`)
  return value
}

function malformed(reason: string): EnvelopeError {
  return new EnvelopeError('ENVELOPE_MALFORMED', `not an envelope: ${reason}`)
}
