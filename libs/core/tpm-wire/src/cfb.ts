import { createCipheriv, createDecipheriv } from 'node:crypto'

/** AES-128-CFB as the TPM uses it, with full 128-bit feedback and no padding (Part 1, clause 11.4.7 and clause 21.3). */
export function encryptCfb(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-cfb', key, iv)
  return joined(cipher.update(plaintext), cipher.final(), plaintext.byteLength)
}

/** The reverse of {@link encryptCfb}. It authenticates nothing: check an HMAC first. */
export function decryptCfb(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const decipher = createDecipheriv('aes-128-cfb', key, iv)
  return joined(decipher.update(ciphertext), decipher.final(), ciphertext.byteLength)
}

/** Copies into memory of our own and wipes the pieces, since either side may be a secret. */
function joined(first: Buffer, last: Buffer, totalBytes: number): Uint8Array {
  const result = new Uint8Array(totalBytes)
  result.set(first)
  result.set(last, first.byteLength)
  first.fill(0)
  return result
}
