import { ID_BYTES, KEY_BYTES } from '@sealwright/keyring'

import { TAG_BYTES } from './hpke.ts'
import { ShamirError } from './shamir-error.ts'
import { X_WING_ENC_BYTES } from './x-wing.ts'

/** ASCII `SWSH`. */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x53, 0x48)
const VERSION = 1

const OFFSET_VERSION = MAGIC.byteLength
const OFFSET_MEMBER_ID = OFFSET_VERSION + 1
const OFFSET_ENC = OFFSET_MEMBER_ID + ID_BYTES
const OFFSET_CIPHERTEXT = OFFSET_ENC + X_WING_ENC_BYTES
/** Length of a sealed KEK: 1,189 bytes. */
export const SEALED_KEK_BYTES = OFFSET_CIPHERTEXT + KEY_BYTES + TAG_BYTES

/** The fields of a sealed KEK. Nothing in it is secret. */
export interface SealedKek {
  /** 16 bytes. */
  readonly memberId: Uint8Array
  /** 1,120 bytes. */
  readonly enc: Uint8Array
  /** 48 bytes. */
  readonly ciphertext: Uint8Array
}

/** @see docs/formats/shamir-sealed-kek.md §1 */
export function encodeSealedKek({ memberId, enc, ciphertext }: SealedKek): Uint8Array {
  const bytes = new Uint8Array(SEALED_KEK_BYTES)
  bytes.set(MAGIC)
  bytes[OFFSET_VERSION] = VERSION
  bytes.set(memberId, OFFSET_MEMBER_ID)
  bytes.set(enc, OFFSET_ENC)
  bytes.set(ciphertext, OFFSET_CIPHERTEXT)
  return bytes
}

/**
 * Splits a sealed KEK into its fields. Checks the layout; opens nothing.
 *
 * @param bytes - magic (4) ‖ version (1) ‖ member id (16) ‖ enc (1,120) ‖ ciphertext (48).
 * @returns Views into `bytes`, not copies.
 * @throws {@link ShamirError} `SHAMIR_SEALED_KEK_MALFORMED` or `SHAMIR_SEALED_KEK_UNSUPPORTED`.
 * @see docs/formats/shamir-sealed-kek.md §1
 */
export function parseSealedKek(bytes: Uint8Array): SealedKek {
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) throw malformed('it does not begin with SWSH')
  const version = bytes[OFFSET_VERSION]
  if (version === undefined) throw malformed('it ends inside the header')
  if (version === 0) throw malformed('its version is 0')
  if (version !== VERSION) throw new ShamirError('SHAMIR_SEALED_KEK_UNSUPPORTED', `unknown version ${version}`)
  if (bytes.byteLength !== SEALED_KEK_BYTES) throw malformed(`${bytes.byteLength} bytes, not ${SEALED_KEK_BYTES}`)
  return {
    memberId: bytes.subarray(OFFSET_MEMBER_ID, OFFSET_ENC),
    enc: bytes.subarray(OFFSET_ENC, OFFSET_CIPHERTEXT),
    ciphertext: bytes.subarray(OFFSET_CIPHERTEXT),
  }
}

function malformed(reason: string): ShamirError {
  return new ShamirError('SHAMIR_SEALED_KEK_MALFORMED', `not a sealed KEK of a share set: ${reason}`)
}
