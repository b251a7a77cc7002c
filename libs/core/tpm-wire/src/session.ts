import { timingSafeEqual } from 'node:crypto'

import { decryptCfb, encryptCfb } from './cfb.ts'
import { hmacSha256, kdfA, sha256 } from './kdf.ts'
import { concat, u32, u8 } from './writer.ts'

const AES_128_KEY_BYTES = 16

/** The nonces of one command or response: `newer` is that of the side which speaks (Part 1, clause 19.6.5). */
export type Nonces = { readonly newer: Uint8Array; readonly older: Uint8Array }

/**
 * Key of a salted, unbound session: KDFa(salt, "ATH", nonceTPM, nonceCaller), 32 bytes (Part 1, clause 19.6.8).
 * Without a salt and a bind object the session key is empty.
 */
export function sessionKey(salt: Uint8Array, nonceTpm: Uint8Array, nonceCaller: Uint8Array): Uint8Array {
  return kdfA(salt, 'ATH', nonceTpm, nonceCaller, 256)
}

/** cpHash = SHA-256(command code ‖ names of the handles ‖ parameters) (Part 1, clause 18.7). */
export function commandParameterHash(
  commandCode: number,
  names: readonly Uint8Array[],
  parameters: Uint8Array,
): Uint8Array {
  return sha256(u32(commandCode), ...names, parameters)
}

/** rpHash = SHA-256(response code ‖ command code ‖ parameters as received) (Part 1, clause 18.8). */
export function responseParameterHash(rc: number, commandCode: number, parameters: Uint8Array): Uint8Array {
  return sha256(u32(rc), u32(commandCode), parameters)
}

/**
 * The HMAC of one command or response: HMAC(session key ‖ auth value, pHash ‖ newer ‖ older ‖ attributes) (Part 1, clause 19.6.5).
 *
 * @param key - session key ‖ auth value, the latter without trailing zeros.
 */
export function sessionHmac(
  key: Uint8Array,
  parameterHash: Uint8Array,
  nonces: Nonces,
  attributes: number,
): Uint8Array {
  return hmacSha256(key, parameterHash, nonces.newer, nonces.older, u8(attributes))
}

/** Whether two HMACs are equal, in time that does not depend on where they differ. */
export function isSameHmac(expected: Uint8Array, received: Uint8Array): boolean {
  return expected.byteLength === received.byteLength && timingSafeEqual(expected, received)
}

/** Encrypts the contents of the first TPM2B parameter with AES-128-CFB (Part 1, clause 21.3). */
export function encryptParameter(sessionValue: Uint8Array, nonces: Nonces, plaintext: Uint8Array): Uint8Array {
  return withCfbKey(sessionValue, nonces, (key, iv) => encryptCfb(key, iv, plaintext))
}

/** Decrypts the contents of the first TPM2B parameter. Check the response HMAC first: this checks nothing. */
export function decryptParameter(sessionValue: Uint8Array, nonces: Nonces, ciphertext: Uint8Array): Uint8Array {
  return withCfbKey(sessionValue, nonces, (key, iv) => decryptCfb(key, iv, ciphertext))
}

/**
 * An auth value as it goes into HMAC keys: the TPM takes trailing zero bytes off (Part 1, clause 19.6.5).
 */
export function trimAuthValue(authValue: Uint8Array): Uint8Array {
  let end = authValue.byteLength
  while (end > 0 && authValue[end - 1] === 0) end--
  return authValue.subarray(0, end)
}

/** key ‖ iv = KDFa(session key ‖ auth value, "CFB", newer, older, 128 + 128 bits) (Part 1, clause 21.3). */
function withCfbKey(
  sessionValue: Uint8Array,
  nonces: Nonces,
  use: (key: Uint8Array, iv: Uint8Array) => Uint8Array,
): Uint8Array {
  const keyAndIv = kdfA(sessionValue, 'CFB', nonces.newer, nonces.older, 256)
  try {
    return use(keyAndIv.subarray(0, AES_128_KEY_BYTES), keyAndIv.subarray(AES_128_KEY_BYTES))
  } finally {
    keyAndIv.fill(0)
  }
}

/** Session key ‖ auth value, in memory of its own: the caller wipes it. */
export function sessionValue(key: Uint8Array, authValue: Uint8Array): Uint8Array {
  return concat(key, trimAuthValue(authValue))
}
