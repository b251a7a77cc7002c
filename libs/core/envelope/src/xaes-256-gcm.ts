import { createCipheriv, createDecipheriv, type Decipheriv, type KeyObject } from 'node:crypto'

import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { updateWithoutTrace } from './update-without-trace.ts'

/** Key length in bytes. */
export const XAES_KEY_BYTES = 32
/** Nonce length in bytes. 192 random bits do not collide in practice (2^80 messages at a risk of 2^-32). */
export const XAES_NONCE_BYTES = 24
/** Length of the authentication tag in bytes. */
export const XAES_TAG_BYTES = 16

/** AES block length in bytes (FIPS 197). */
const BLOCK_BYTES = 16
/** The first half of the nonce goes into the derived key, the second half is the nonce of AES-256-GCM. */
export const HALF_NONCE_BYTES = 12
/** The label of the key derivation, ASCII `X`. */
const KDF_LABEL = 0x58
/** The low byte of x^128 modulo the CMAC polynomial (NIST SP 800-38B §5.3, R_128). */
const CMAC_REDUCTION = 0x87

/**
 * A secret key of 32 bytes. A `KeyObject` suits a key that lives long; a `Secret` one that is used once and wiped, because a
 * `KeyObject` keeps its bytes until the engine collects it.
 */
export type EnvelopeKey = KeyObject | Secret

/** A ciphertext, as long as its plaintext, and its tag. */
export interface Encrypted {
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

/**
 * Encrypts with XAES-256-GCM.
 *
 * @param input.key - secret key of 32 bytes.
 * @param input.nonce - 24 bytes, never used before with this key.
 * @returns Fresh arrays, owned by the caller.
 * @throws {RangeError} if the key or the nonce has another length.
 * @see https://c2sp.org/XAES-256-GCM
 */
export function encryptXaes256Gcm(input: {
  readonly key: EnvelopeKey
  readonly nonce: Uint8Array
  readonly additionalData: Uint8Array
  readonly plaintext: Uint8Array
}): Encrypted {
  const { key, nonce, additionalData, plaintext } = input
  const derivedKey = deriveXaesKey(key, nonce)
  try {
    return encryptByDerivedKey(derivedKey, { nonce, additionalData, plaintext })
  } finally {
    derivedKey.fill(0)
  }
}

/**
 * Decrypts what {@link encryptXaes256Gcm} made.
 *
 * @returns The plaintext in an array of its own, owned by the caller; `null` if it is not authentic: wrong key, nonce,
 *   additional data, ciphertext or tag.
 * @throws {RangeError} if the key, the nonce or the tag has another length.
 */
export function decryptXaes256Gcm(
  input: { readonly key: EnvelopeKey; readonly nonce: Uint8Array; readonly additionalData: Uint8Array } & Encrypted,
): Uint8Array | null {
  const { key, nonce, additionalData, ciphertext, tag } = input
  if (tag.byteLength !== XAES_TAG_BYTES) throw new RangeError(`tag of ${tag.byteLength} bytes, not ${XAES_TAG_BYTES}`)
  const derivedKey = deriveXaesKey(key, nonce)
  try {
    return decryptByDerivedKey(derivedKey, { nonce, additionalData, ciphertext, tag }, updateWithoutTrace)
  } finally {
    derivedKey.fill(0)
  }
}

/** What one message is made from, beside its key. */
export interface Message {
  /** 24 bytes, of which the second half is the nonce of AES-256-GCM. */
  readonly nonce: Uint8Array
  readonly additionalData: Uint8Array
}

/** The second step of XAES-256-GCM, after {@link deriveXaesKey}. */
export function encryptByDerivedKey(
  derivedKey: Uint8Array | KeyObject,
  { nonce, additionalData, plaintext }: Message & { readonly plaintext: Uint8Array },
): Encrypted {
  const cipher = createCipheriv('aes-256-gcm', derivedKey, nonce.subarray(HALF_NONCE_BYTES), {
    authTagLength: XAES_TAG_BYTES,
  })
  cipher.setAAD(additionalData)
  const ciphertext = cipher.update(plaintext)
  cipher.final()
  return { ciphertext: plainView(ciphertext), tag: plainView(cipher.getAuthTag()) }
}

/**
 * The second step of XAES-256-GCM, after {@link deriveXaesKey}.
 *
 * @param update - takes the ciphertext through the decipher.
 * @returns The plaintext in an array of its own; `null` if it is not authentic.
 */
export function decryptByDerivedKey(
  derivedKey: Uint8Array | KeyObject,
  { nonce, additionalData, ciphertext, tag }: Message & Encrypted,
  update: (decipher: Decipheriv, ciphertext: Uint8Array) => Uint8Array,
): Uint8Array | null {
  const decipher = createDecipheriv('aes-256-gcm', derivedKey, nonce.subarray(HALF_NONCE_BYTES), {
    authTagLength: XAES_TAG_BYTES,
  })
  decipher.setAAD(additionalData)
  decipher.setAuthTag(tag)
  const plaintext = update(decipher, ciphertext)
  try {
    decipher.final()
  } catch {
    // The one thing that `final` reports is a tag that does not fit. Bytes nobody vouches for must not leave.
    plaintext.fill(0)
    return null
  }
  return plaintext
}

/**
 * The key for AES-256-GCM: counter-mode KDF over CMAC-AES256 (NIST SP 800-108r1 §4.1) on two single blocks.
 *
 * @returns 32 bytes, to be wiped by the caller.
 * @see https://c2sp.org/XAES-256-GCM "Detailed key derivation algorithm"
 */
export function deriveXaesKey(key: EnvelopeKey, nonce: Uint8Array): Uint8Array {
  const keyBytes = keyLengthOf(key)
  if (keyBytes !== XAES_KEY_BYTES) throw new RangeError(`key of ${keyBytes} bytes, not ${XAES_KEY_BYTES}`)
  if (nonce.byteLength !== XAES_NONCE_BYTES) {
    throw new RangeError(`nonce of ${nonce.byteLength} bytes, not ${XAES_NONCE_BYTES}`)
  }
  const subkey = encryptBlock(key, new Uint8Array(BLOCK_BYTES))
  doubleInPlace(subkey)
  const derivedKey = allocateKeyBytes(2 * BLOCK_BYTES)
  for (const counter of [1, 2]) {
    const block = allocateKeyBytes(BLOCK_BYTES)
    block.set([0, counter, KDF_LABEL, 0])
    block.set(nonce.subarray(0, HALF_NONCE_BYTES), BLOCK_BYTES - HALF_NONCE_BYTES)
    for (const [index, byte] of subkey.entries()) block[index] = (block[index] ?? 0) ^ byte
    const half = encryptBlock(key, block)
    derivedKey.set(half, (counter - 1) * BLOCK_BYTES)
    half.fill(0)
    block.fill(0)
  }
  subkey.fill(0)
  return derivedKey
}

/** The length of a key in bytes; 0 for a key that is not secret. */
export function keyLengthOf(key: EnvelopeKey): number {
  return key instanceof Secret ? key.byteLength : (key.symmetricKeySize ?? 0)
}

/** AES-256 of one block: the key stream of counter mode begins with it, and can be taken in small pieces. */
function encryptBlock(key: EnvelopeKey, block: Uint8Array): Uint8Array {
  const aes =
    key instanceof Secret
      ? key.reveal(bytes => createCipheriv('aes-256-ctr', bytes, block))
      : createCipheriv('aes-256-ctr', key, block)
  const encrypted = updateWithoutTrace(aes, new Uint8Array(BLOCK_BYTES))
  // Nothing is left to encrypt, but this is what frees the key schedule now and not at the next collection.
  aes.final()
  return encrypted
}

/** Doubling in GF(2^128) (NIST SP 800-38B §6.1), without a branch on the secret top bit. */
function doubleInPlace(block: Uint8Array): void {
  let carry = 0
  for (let index = block.length - 1; index >= 0; index -= 1) {
    const byte = block[index] ?? 0
    block[index] = (byte << 1) | carry
    carry = byte >> 7
  }
  const last = block.length - 1
  block[last] = (block[last] ?? 0) ^ (-carry & CMAC_REDUCTION)
}

/** The same memory as a plain array: a Buffer prints and compares in other ways. */
function plainView(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
