import { ID_BYTES } from '@sealwright/keyring'
import { MAX_CIPHERTEXT_BYTES, parseCiphertext, type TransitCiphertext } from './ciphertext.ts'
import { TransitError } from './error.ts'

/** ASCII "SWTR". */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x54, 0x52)
const VERSION = 1
const KEY_VERSION_BYTES = 4
const LENGTH_BYTES = 2
const MEMBER_ID_OFFSET = MAGIC.byteLength + 1
const KEY_VERSION_OFFSET = MEMBER_ID_OFFSET + ID_BYTES
const LENGTH_OFFSET = KEY_VERSION_OFFSET + KEY_VERSION_BYTES
const CIPHERTEXT_OFFSET = LENGTH_OFFSET + LENGTH_BYTES

/** A key-encryption key that one transit key can open, taken apart. Nothing in it is secret. */
export interface TransitSealedKek {
  /** The member that it was made for, 16 bytes. Bound to the ciphertext as associated data. */
  readonly memberId: Uint8Array
  readonly ciphertext: TransitCiphertext
}

/**
 * Writes the container.
 *
 * @returns magic (4) ‖ version (1) ‖ member id (16) ‖ key version (4) ‖ length (2) ‖ ciphertext (1…512).
 * @throws {@link TransitError} `TRANSIT_OPTIONS_INVALID` for what could not be read back.
 * @see docs/formats/transit-sealed-kek.md §2
 */
export function encodeTransitSealedKek({ memberId, ciphertext }: TransitSealedKek): Uint8Array {
  if (memberId.byteLength !== ID_BYTES || parseCiphertext(ciphertext.text)?.keyVersion !== ciphertext.keyVersion) {
    throw new TransitError('TRANSIT_OPTIONS_INVALID', 'no sealed key can be written with this member id or ciphertext')
  }
  const text = new TextEncoder().encode(ciphertext.text)
  const bytes = new Uint8Array(CIPHERTEXT_OFFSET + text.byteLength)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setUint8(MAGIC.byteLength, VERSION)
  bytes.set(memberId, MEMBER_ID_OFFSET)
  view.setUint32(KEY_VERSION_OFFSET, ciphertext.keyVersion)
  view.setUint16(LENGTH_OFFSET, text.byteLength)
  bytes.set(text, CIPHERTEXT_OFFSET)
  return bytes
}

/**
 * Reads the container. Whether its ciphertext is whole, and of which key, only the other OpenBao can tell.
 *
 * @returns copies, no views.
 * @throws {@link TransitError} `TRANSIT_BLOB_MALFORMED` if a field is short, long or unknown.
 */
export function decodeTransitSealedKek(bytes: Uint8Array): TransitSealedKek {
  if (bytes.byteLength < CIPHERTEXT_OFFSET) throw malformed(`${bytes.byteLength} bytes are too few`)
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) throw malformed('it does not begin with "SWTR"')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const version = view.getUint8(MAGIC.byteLength)
  if (version !== VERSION) throw malformed(`version ${version} is not known here`)
  const lengthBytes = view.getUint16(LENGTH_OFFSET)
  if (lengthBytes === 0 || lengthBytes > MAX_CIPHERTEXT_BYTES)
    throw malformed(`its ciphertext has ${lengthBytes} bytes`)
  if (bytes.byteLength !== CIPHERTEXT_OFFSET + lengthBytes) throw malformed('its length is not that of its ciphertext')
  const ciphertext = parseCiphertext(latin1(bytes.subarray(CIPHERTEXT_OFFSET)))
  if (ciphertext === null) throw malformed('its ciphertext is not one of the transit engine')
  const keyVersion = view.getUint32(KEY_VERSION_OFFSET)
  if (ciphertext.keyVersion !== keyVersion) throw malformed('it names another key version than its ciphertext')
  return { memberId: Uint8Array.from(bytes.subarray(MEMBER_ID_OFFSET, KEY_VERSION_OFFSET)), ciphertext }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function malformed(why: string): TransitError {
  const message = `this is no sealed key we can use: ${why}; restore it from a copy, or open by another seal`
  return new TransitError('TRANSIT_BLOB_MALFORMED', message)
}
