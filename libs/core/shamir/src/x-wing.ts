import {
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hash,
  type KeyObject,
} from 'node:crypto'

import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { notAuthentic, wrappingKeyInvalid } from './shamir-error.ts'

/** Length of the private key, in bytes: a seed from which everything else follows. */
export const X_WING_SEED_BYTES = 32
/** Length of the public key, in bytes: ML-KEM-768 (1184) ‖ X25519 (32). */
export const X_WING_PUBLIC_KEY_BYTES = 1216
/** Length of an encapsulated secret, in bytes: ML-KEM-768 (1088) ‖ X25519 (32). */
export const X_WING_ENC_BYTES = 1120
/** Length of the secret that both sides get, in bytes. */
export const X_WING_SECRET_BYTES = 32

const ML_KEM_PUBLIC_KEY_BYTES = 1184
const ML_KEM_ENC_BYTES = 1088
/** `d` ‖ `z` (FIPS 203 §7.1). */
const ML_KEM_SEED_BYTES = 64
const X25519_KEY_BYTES = 32

/** ASCII `\.//^\` (draft-connolly-cfrg-xwing-kem §5.3). */
const X_WING_LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)

/** PKCS#8 of an ML-KEM-768 private key that is given by its seed, up to the seed (RFC 9935 §6). */
const ML_KEM_PKCS8 = '3054020100300b060960864801650304040204428040'
/** SubjectPublicKeyInfo of an ML-KEM-768 public key, up to the key (RFC 9935 §4). */
const ML_KEM_SPKI = '308204b2300b0609608648016503040402038204a100'
/** PKCS#8 of an X25519 private key, up to the key (RFC 8410 §7). */
const X25519_PKCS8 = '302e020100300506032b656e04220420'
/** SubjectPublicKeyInfo of an X25519 public key, up to the key (RFC 8410 §4). */
const X25519_SPKI = '302a300506032b656e032100'

/** Both private keys, in OpenSSL's memory. Freed, and cleared, when the engine collects them. */
interface Expanded {
  readonly mlKem: KeyObject
  readonly x25519: KeyObject
}

/** Both sides of an encapsulation. The caller wipes the secret. */
export interface Encapsulated {
  /** 32 bytes. */
  readonly sharedSecret: Secret
  /** 1,120 bytes, public. */
  readonly enc: Uint8Array
}

/**
 * The public key that belongs to a private one.
 *
 * @param seed - 32 bytes; stays the caller's.
 * @returns 1,216 bytes.
 * @see draft-connolly-cfrg-xwing-kem §5.2
 */
export function xWingPublicKey(seed: Secret): Uint8Array {
  return publicKeyOf(expand(seed))
}

/**
 * Makes a secret that the holder of the private key gets by {@link xWingDecapsulate}. The randomness is OpenSSL's own: it
 * takes none for ML-KEM.
 *
 * @param publicKey - 1,216 bytes.
 * @throws {@link ShamirError} `SHAMIR_WRAPPING_KEY_INVALID`: an ML-KEM key with a number out of range (FIPS 203 §7.2), or an X25519
 *   point of low order (RFC 7748 §6.1).
 * @see draft-connolly-cfrg-xwing-kem §5.4
 */
export function xWingEncapsulate(publicKey: Uint8Array): Encapsulated {
  const publicX25519 = publicKey.subarray(ML_KEM_PUBLIC_KEY_BYTES)
  const ephemeral = generateKeyPairSync('x25519')
  const encX25519 = rawPublic(ephemeral.publicKey, X25519_KEY_BYTES)
  try {
    const x25519 = agree(ephemeral.privateKey, publicX25519)
    const mlKem = encapsulate(importPublic(ML_KEM_SPKI, publicKey.subarray(0, ML_KEM_PUBLIC_KEY_BYTES)))
    return {
      sharedSecret: combine({ mlKem: mlKem.sharedKey, x25519, encX25519, publicX25519 }),
      enc: Uint8Array.from([...mlKem.ciphertext, ...encX25519]),
    }
  } catch (cause) {
    throw wrappingKeyInvalid('it is no X-Wing public key', { cause })
  }
}

/**
 * The secret that {@link xWingEncapsulate} made; another one if `enc` was changed.
 *
 * @param seed - 32 bytes; stays the caller's.
 * @param enc - 1,120 bytes.
 * @returns 32 bytes, owned by the caller.
 * @throws {@link ShamirError} `SHAMIR_SEALED_KEK_AUTH_FAILED` for an X25519 point of low order: no honest sender gives one.
 * @see draft-connolly-cfrg-xwing-kem §5.5
 */
export function xWingDecapsulate(seed: Secret, enc: Uint8Array): Secret {
  const { mlKem, x25519 } = expand(seed)
  const encX25519 = enc.subarray(ML_KEM_ENC_BYTES)
  try {
    return combine({
      x25519: agree(x25519, encX25519),
      mlKem: decapsulate(mlKem, enc.subarray(0, ML_KEM_ENC_BYTES)),
      encX25519,
      publicX25519: rawPublic(createPublicKey(x25519), X25519_KEY_BYTES),
    })
  } catch (cause) {
    throw notAuthentic({ cause })
  }
}

/** draft-connolly-cfrg-xwing-kem §5.2, `expandDecapsulationKey`. */
function expand(seed: Secret): Expanded {
  const expanded = seed.reveal(bytes =>
    hash('shake256', bytes, { outputLength: ML_KEM_SEED_BYTES + X25519_KEY_BYTES, outputEncoding: 'buffer' }),
  )
  try {
    return {
      mlKem: importPrivate(ML_KEM_PKCS8, expanded.subarray(0, ML_KEM_SEED_BYTES)),
      x25519: importPrivate(X25519_PKCS8, expanded.subarray(ML_KEM_SEED_BYTES)),
    }
  } finally {
    expanded.fill(0)
  }
}

function publicKeyOf({ mlKem, x25519 }: Expanded): Uint8Array {
  return Uint8Array.from([
    ...rawPublic(createPublicKey(mlKem), ML_KEM_PUBLIC_KEY_BYTES),
    ...rawPublic(createPublicKey(x25519), X25519_KEY_BYTES),
  ])
}

/** draft-connolly-cfrg-xwing-kem §5.3. Wipes both secrets that it is given. */
function combine(parts: {
  readonly mlKem: Uint8Array
  readonly x25519: Uint8Array
  readonly encX25519: Uint8Array
  readonly publicX25519: Uint8Array
}): Secret {
  const fields = [parts.mlKem, parts.x25519, parts.encX25519, parts.publicX25519, X_WING_LABEL]
  const input = allocateKeyBytes(fields.reduce((sum, field) => sum + field.byteLength, 0))
  let offset = 0
  for (const field of fields) {
    input.set(field, offset)
    offset += field.byteLength
  }
  parts.mlKem.fill(0)
  parts.x25519.fill(0)
  const digest = hash('sha3-256', input, 'buffer')
  input.fill(0)
  return new Secret(digest)
}

/** X25519 (RFC 7748 §6.1). Refuses a point of low order. */
function agree(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  return diffieHellman({ privateKey, publicKey: importPublic(X25519_SPKI, publicKey) })
}

function importPrivate(prefixHex: string, key: Uint8Array): KeyObject {
  const prefix = Buffer.from(prefixHex, 'hex')
  const der = allocateKeyBytes(prefix.byteLength + key.byteLength)
  der.set(prefix)
  der.set(key, prefix.byteLength)
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}

function importPublic(prefixHex: string, key: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([Buffer.from(prefixHex, 'hex'), key]), format: 'der', type: 'spki' })
}

/** The key at the end of its SubjectPublicKeyInfo. */
function rawPublic(key: KeyObject, byteLength: number): Uint8Array {
  return Uint8Array.from(key.export({ format: 'der', type: 'spki' }).subarray(-byteLength))
}
