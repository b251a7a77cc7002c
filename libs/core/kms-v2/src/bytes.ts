/** Width of each length. */
const LENGTH_BYTES = 4

export function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

/** Fields, each behind its length in 32 bits: no two lists of fields give the same bytes. */
export function lengthPrefixed(fields: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(fields.reduce((sum, field) => sum + LENGTH_BYTES + field.byteLength, 0))
  let offset = 0
  for (const field of fields) {
    offset = bytes.writeUInt32BE(field.byteLength, offset)
    bytes.set(field, offset)
    offset += field.byteLength
  }
  return bytes
}

/** For what everybody may know; not for keys. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
