import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'

import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { joinBytes, textBytes } from '@sealwright/bytes'
import { xWingDecapsulate, xWingEncapsulate } from './x-wing.ts'

/** Length of the authentication tag, in bytes. */
export const TAG_BYTES = 16

/** RFC 9180 §5.1, Table 1. */
const MODE_BASE = 0x00
/** X-Wing (draft-connolly-cfrg-xwing-kem §6; draft-ietf-hpke-pq calls it MLKEM768-X25519). */
export const KEM_X_WING = 0x647a
/** RFC 9180 §7.2, HKDF-SHA256. */
const KDF_HKDF_SHA256 = 0x0001
/** RFC 9180 §7.3, AES-256-GCM. */
export const AEAD_AES_256_GCM = 0x0002

/** `Nk` and `Nn` of AES-256-GCM, in bytes. */
const KEY_BYTES = 32
const NONCE_BYTES = 12

const SUITE = { kemId: KEM_X_WING, aeadId: AEAD_AES_256_GCM }
/** `update` copies its result and leaves the first copy as it is: so no more than a piece of a key is left anywhere. */
const PIECE_BYTES = 4

const NOTHING = new Uint8Array()
const DIGEST = 'sha256'

/** Key and nonce of the only message. The caller wipes both. */
export interface KeySchedule {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** 12 bytes. */
  readonly baseNonce: Uint8Array
}

/**
 * The key schedule of HPKE in base mode, with HKDF-SHA256.
 *
 * @param input.sharedSecret - what the KEM gives, 32 bytes; stays the caller's.
 * @param input.info - public; bound into the key.
 * @param input.aeadId - with a key of 32 bytes: AES-256-GCM, or ChaCha20-Poly1305 in the public vectors.
 * @see RFC 9180 §5.1
 */
export function keySchedule(input: {
  readonly sharedSecret: Secret
  readonly info: Uint8Array
  readonly kemId: number
  readonly aeadId: number
}): KeySchedule {
  const { sharedSecret, info, kemId, aeadId } = input
  const suiteId = joinBytes([textBytes('HPKE'), uint16(kemId), uint16(KDF_HKDF_SHA256), uint16(aeadId)])
  const context = joinBytes([
    Uint8Array.of(MODE_BASE),
    labeledExtract(suiteId, 'psk_id_hash', NOTHING),
    labeledExtract(suiteId, 'info_hash', info),
  ])
  // `LabeledExtract(shared_secret, "secret", "")` and the `LabeledExpand` on it are one HKDF, whose inner key never comes here.
  const expand = (label: string, byteLength: number) =>
    sharedSecret.reveal(
      salt =>
        new Uint8Array(
          hkdfSync(
            DIGEST,
            labeled(suiteId, 'secret', NOTHING),
            salt,
            joinBytes([uint16(byteLength), labeled(suiteId, label, context)]),
            byteLength,
          ),
        ),
    )
  return { key: expand('key', KEY_BYTES), baseNonce: expand('base_nonce', NONCE_BYTES) }
}

/** What {@link hpkeSeal} gives. */
export interface HpkeSealed {
  /** 1,120 bytes. */
  readonly enc: Uint8Array
  /** As long as the plaintext, and 16 bytes of tag. */
  readonly ciphertext: Uint8Array
}

/**
 * Seals one message for the holder of a private key: HPKE in base mode, X-Wing, HKDF-SHA256, AES-256-GCM, no associated data.
 *
 * @param input.publicKey - 1,216 bytes.
 * @param input.plaintext - stays the caller's.
 * @throws {@link ShamirError} `SHAMIR_WRAPPING_KEY_INVALID`.
 * @see RFC 9180 §6.1
 */
export function hpkeSeal(input: {
  readonly publicKey: Uint8Array
  readonly info: Uint8Array
  readonly plaintext: Secret
}): HpkeSealed {
  const { sharedSecret, enc } = xWingEncapsulate(input.publicKey)
  const { key, baseNonce } = keySchedule({ ...SUITE, sharedSecret, info: input.info })
  sharedSecret.wipe()
  const cipher = createCipheriv('aes-256-gcm', key, baseNonce, { authTagLength: TAG_BYTES })
  key.fill(0)
  const ciphertext = input.plaintext.reveal(bytes => cipher.update(bytes))
  cipher.final()
  return { enc, ciphertext: joinBytes([ciphertext, cipher.getAuthTag()]) }
}

/**
 * Opens what {@link hpkeSeal} made.
 *
 * @param input.privateKey - 32 bytes; stays the caller's.
 * @param input.enc - 1,120 bytes.
 * @param input.ciphertext - 16 bytes or more.
 * @returns The plaintext, owned by the caller; `null` if it is not authentic.
 * @throws {@link ShamirError} `SHAMIR_SEALED_KEK_AUTH_FAILED` for an `enc` that no honest sender makes.
 * @see RFC 9180 §6.1
 */
export function hpkeOpen(input: {
  readonly privateKey: Secret
  readonly info: Uint8Array
  readonly enc: Uint8Array
  readonly ciphertext: Uint8Array
}): Secret | null {
  const { privateKey, info, enc, ciphertext } = input
  const sharedSecret = xWingDecapsulate(privateKey, enc)
  const { key, baseNonce } = keySchedule({ ...SUITE, sharedSecret, info })
  sharedSecret.wipe()
  const decipher = createDecipheriv('aes-256-gcm', key, baseNonce, { authTagLength: TAG_BYTES })
  key.fill(0)
  decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES))
  const plaintext = allocateKeyBytes(ciphertext.byteLength - TAG_BYTES)
  for (let offset = 0; offset < plaintext.byteLength; offset += PIECE_BYTES) {
    const end = Math.min(offset + PIECE_BYTES, plaintext.byteLength)
    const piece = decipher.update(ciphertext.subarray(offset, end))
    plaintext.set(piece, offset)
    piece.fill(0)
  }
  try {
    decipher.final()
  } catch {
    // The one thing that `final` reports is a tag that does not fit. Bytes nobody vouches for must not leave.
    plaintext.fill(0)
    return null
  }
  return new Secret(plaintext)
}

/** RFC 9180 §4, with an empty salt. For public data. */
function labeledExtract(suiteId: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return createHmac(DIGEST, NOTHING)
    .update(labeled(suiteId, label, ikm))
    .digest()
}

/** What RFC 9180 §4 puts before each input. */
function labeled(suiteId: Uint8Array, label: string, input: Uint8Array): Uint8Array {
  return joinBytes([textBytes('HPKE-v1'), suiteId, textBytes(label), input])
}

function uint16(number: number): Uint8Array {
  return Uint8Array.of(number >> 8, number & 0xff)
}
