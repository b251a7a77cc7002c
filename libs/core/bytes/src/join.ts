/** Width of {@link uint32}, and of the length before each field. */
const UINT32_BYTES = 4

/**
 * All of them one behind another.
 *
 * V8 keeps arrays of up to 64 bytes on its heap, and leaves a copy there as soon as somebody asks for their `buffer`, as `DataView` and
 * `node:crypto` do: a copy of a key that nobody can wipe.
 *
 * @returns A fresh array, outside any shared pool and outside the JavaScript heap: where a part is secret, the caller wipes it.
 */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(new ArrayBuffer(parts.reduce((sum, part) => sum + part.byteLength, 0)))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.byteLength
  }
  return joined
}

/**
 * Fields, each behind its length in 32 bits, big-endian: no two lists of fields give the same bytes.
 *
 * @returns As {@link joinBytes}.
 */
export function lengthPrefixed(fields: readonly Uint8Array[]): Uint8Array {
  const byteLength = fields.reduce((sum, field) => sum + UINT32_BYTES + field.byteLength, 0)
  const joined = new Uint8Array(new ArrayBuffer(byteLength))
  const view = new DataView(joined.buffer)
  let at = 0
  for (const field of fields) {
    view.setUint32(at, field.byteLength)
    joined.set(field, at + UINT32_BYTES)
    at += UINT32_BYTES + field.byteLength
  }
  return joined
}

/** One unsigned number of 32 bits, big-endian. */
export function uint32(number: number): Uint8Array {
  const bytes = new Uint8Array(UINT32_BYTES)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}
