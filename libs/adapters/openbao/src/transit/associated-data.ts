/** Says what a ciphertext is for: no other use of the same key makes one that passes for a sealed KEK. */
const DOMAIN = new TextEncoder().encode('sealwright transit kek v1')

const LENGTH_BYTES = 4

/**
 * What the other OpenBao authenticates beside the KEK: length (4) ‖ domain ‖ length (4) ‖ member id (16).
 *
 * @see docs/formats/transit-sealed-kek.md §3
 */
export function sealedKekAssociatedData(memberId: Uint8Array): Uint8Array {
  return lengthPrefixed([DOMAIN, memberId])
}

/** Fields, each behind its length in 32 bits: no two lists of fields give the same bytes. */
export function lengthPrefixed(fields: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, field) => sum + LENGTH_BYTES + field.byteLength, 0))
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const field of fields) {
    view.setUint32(offset, field.byteLength)
    bytes.set(field, offset + LENGTH_BYTES)
    offset += LENGTH_BYTES + field.byteLength
  }
  return bytes
}
