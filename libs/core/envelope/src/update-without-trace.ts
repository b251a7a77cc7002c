import { type Cipheriv, type Decipheriv } from 'node:crypto'

import { allocateKeyBytes } from '@sealwright/secret'

/** Longest input that is taken for a key. What is longer is no key, and would take too long. */
const MAX_KEY_BYTES = 64
/** Small enough for a general register, and for the place where `free` writes its own notes. */
const PIECE_BYTES = 4

/**
 * `update` of a stream cipher for inputs whose result is a key.
 *
 * Node writes the result into a block of memory that is too long, copies it to one that fits, and frees the first as it is;
 * the copying leaves 16 bytes in a vector register, which the engine may save on the stack. Both were found in memory dumps
 * of an idle agent. Taken in small pieces, no more than a piece is left anywhere.
 *
 * @returns As many bytes as went in, outside the JavaScript heap for up to 64 bytes; the caller wipes them.
 */
export function updateWithoutTrace(cipher: Cipheriv | Decipheriv, input: Uint8Array): Uint8Array {
  if (input.byteLength > MAX_KEY_BYTES) {
    const { buffer, byteOffset, byteLength } = cipher.update(input)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  const result = allocateKeyBytes(input.byteLength)
  for (let offset = 0; offset < input.byteLength; offset += PIECE_BYTES) {
    const piece = cipher.update(input.subarray(offset, offset + PIECE_BYTES))
    result.set(piece, offset)
    piece.fill(0)
  }
  return result
}
