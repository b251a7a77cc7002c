import { hash } from 'node:crypto'

/** Lower-case hex, for messages about public ids. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Whether both hold the same bytes. For public data: the time taken depends on the contents. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index])
}

/** ASCII, or any text as UTF-8. */
export function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Width of the length before each field. */
const LENGTH_BYTES = 4

/**
 * Fields, each behind its length in 32 bits: no two lists of fields give the same bytes.
 *
 * @returns Memory outside the JavaScript heap: where a field is secret, the caller wipes it.
 */
export function lengthPrefixed(fields: readonly Uint8Array[]): Uint8Array {
  const bytes = fields.reduce((sum, field) => sum + LENGTH_BYTES + field.byteLength, 0)
  const joined = new Uint8Array(new ArrayBuffer(bytes))
  const view = new DataView(joined.buffer)
  let offset = 0
  for (const field of fields) {
    view.setUint32(offset, field.byteLength)
    joined.set(field, offset + LENGTH_BYTES)
    offset += LENGTH_BYTES + field.byteLength
  }
  return joined
}

/** `H` of the format documents: SHA-256 over length-prefixed fields, which may be secret. 32 bytes. */
export function hashOf(fields: readonly Uint8Array[]): Uint8Array {
  const input = lengthPrefixed(fields)
  const digest = hash('sha256', input, 'buffer')
  input.fill(0)
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
}
