import { allocateKeyBytes } from '@sealwright/secret'

/** Bytes in one group, and the digits that stand for them (RFC 4648 §4). */
const GROUP_BYTES = 3
const GROUP_DIGITS = 4
const PADDING = 0x3d // "="

/** How many digits and padding characters stand for so many bytes. */
export function base64Length(byteLength: number): number {
  return Math.ceil(byteLength / GROUP_BYTES) * GROUP_DIGITS
}

/**
 * Encodes as standard base64 without ever making a string: a string cannot be wiped. The time taken depends on the length alone.
 *
 * @returns ASCII in fresh key bytes, for the caller to wipe.
 * @see RFC 4648 §4
 */
export function encodeBase64(bytes: Uint8Array): Uint8Array {
  const encoded = allocateKeyBytes(base64Length(bytes.byteLength))
  encodeBase64Into(bytes, encoded)
  return encoded
}

/** The same, into the whole of `encoded`, which has {@link base64Length} bytes. */
export function encodeBase64Into(bytes: Uint8Array, encoded: Uint8Array): void {
  encoded.fill(PADDING)
  const digits = Math.ceil((bytes.byteLength * 8) / 6)
  for (let index = 0; index < digits; index += 1) {
    const bit = index * 6
    const at = bit >> 3
    const pair = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    encoded[index] = digitOf((pair >> (10 - (bit & 7))) & 0x3f)
  }
}

/** The digit of one value. Arithmetic only: a table look-up or a branch would show the value by its timing. */
function digitOf(value: number): number {
  return (
    0x41 + // "A" to "Z" are 0 to 25
    value +
    (from(26, value) & (0x61 - 26 - 0x41)) + // "a" to "z" are 26 to 51
    (from(52, value) & (0x30 - 52 - (0x61 - 26))) + // "0" to "9" are 52 to 61
    (from(62, value) & (0x2b - 62 - (0x30 - 52))) + // "+" is 62
    (from(63, value) & (0x2f - 63 - (0x2b - 62))) // "/" is 63
  )
}

/** All bits set from `first` on, else zero. */
function from(first: number, value: number): number {
  return ~((value - first) >> 31)
}
