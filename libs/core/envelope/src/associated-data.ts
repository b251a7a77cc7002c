import { EnvelopeError } from './envelope-error.ts'

/** Most context fields of one envelope. */
export const MAX_CONTEXT_FIELDS = 16
/** Longest context field, in bytes. */
export const MAX_CONTEXT_FIELD_BYTES = 65_536

/** Width of each count and length. */
const LENGTH_BYTES = 4

/**
 * What is authenticated beside the plaintext: header ‖ number of context fields (4) ‖ for each field its length (4) ‖ the field.
 *
 * Lengths stand before contents, so two different lists never give the same bytes.
 *
 * @param context - 0 to 16 fields of 0 to 65,536 bytes.
 * @throws {@link EnvelopeError} `ENVELOPE_INPUT_INVALID` for more or longer fields.
 * @see docs/formats/envelope.md §3
 */
export function encodeAssociatedData(header: Uint8Array, context: readonly Uint8Array[]): Uint8Array {
  if (context.length > MAX_CONTEXT_FIELDS) {
    throw new EnvelopeError(
      'ENVELOPE_INPUT_INVALID',
      `${context.length} context fields, at most ${MAX_CONTEXT_FIELDS} allowed`,
    )
  }
  const tooLong = context.find(field => field.byteLength > MAX_CONTEXT_FIELD_BYTES)
  if (tooLong !== undefined) {
    throw new EnvelopeError(
      'ENVELOPE_INPUT_INVALID',
      `context field of ${tooLong.byteLength} bytes, at most ${MAX_CONTEXT_FIELD_BYTES} allowed`,
    )
  }
  const contextBytes = context.reduce((sum, field) => sum + LENGTH_BYTES + field.byteLength, 0)
  const encoded = new Uint8Array(header.byteLength + LENGTH_BYTES + contextBytes)
  const view = new DataView(encoded.buffer)
  encoded.set(header)
  let offset = header.byteLength
  view.setUint32(offset, context.length)
  offset += LENGTH_BYTES
  for (const field of context) {
    view.setUint32(offset, field.byteLength)
    encoded.set(field, offset + LENGTH_BYTES)
    offset += LENGTH_BYTES + field.byteLength
  }
  return encoded
}
