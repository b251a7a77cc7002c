import { randomFillSync } from 'node:crypto'

/**
 * Zeroed bytes for a key, outside the JavaScript heap.
 *
 * V8 keeps the contents of a typed array of up to 64 bytes, a `Buffer.alloc(32)` too, on its heap. Handing such an array to
 * native code, as every function of `node:crypto` does with a key, moves the contents out and leaves a copy behind that
 * nobody can overwrite; so does the garbage collector when it moves the array. An array over an `ArrayBuffer` of its own
 * stays in one place.
 */
export function allocateKeyBytes(byteLength: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(byteLength))
}

/** So many random bytes for a key, in memory as {@link allocateKeyBytes} gives it: what keys, nonces and ids are made of outside tests. */
export function randomKeyBytes(byteLength: number): Uint8Array {
  return randomFillSync(allocateKeyBytes(byteLength))
}
