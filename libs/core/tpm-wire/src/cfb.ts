import { createCipheriv, createDecipheriv } from 'node:crypto'

/**
 * What is decrypted at once. Node frees a block with the result of each `update` as it is, and leaves up to 16 bytes of it in a
 * vector register: in small pieces, no more than a piece of a key is left in memory.
 */
const PIECE_BYTES = 4

/** AES-128-CFB as the TPM uses it, with full 128-bit feedback and no padding (Part 1, clauses 11.4.7 and 21.3). */
export function encryptCfb(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-cfb', key, iv)
  const ciphertext = new Uint8Array(cipher.update(plaintext))
  cipher.final()
  return ciphertext
}

/**
 * The reverse of {@link encryptCfb}. It authenticates nothing: check an HMAC first.
 *
 * @returns The plaintext in memory of its own, outside the JavaScript heap: the caller wipes it.
 */
export function decryptCfb(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const decipher = createDecipheriv('aes-128-cfb', key, iv)
  const plaintext = new Uint8Array(new ArrayBuffer(ciphertext.byteLength))
  for (let offset = 0; offset < ciphertext.byteLength; offset += PIECE_BYTES) {
    const piece = decipher.update(ciphertext.subarray(offset, offset + PIECE_BYTES))
    plaintext.set(piece, offset)
    piece.fill(0)
  }
  decipher.final()
  return plaintext
}
