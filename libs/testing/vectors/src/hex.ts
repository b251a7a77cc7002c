/** Lower-case hex pairs, nothing else: one value has one spelling. */
const HEX = /^(?:[0-9a-f]{2})*$/

/**
 * Reads lower-case hex.
 *
 * @returns A fresh array, owned by the caller.
 * @throws {SyntaxError} for upper case, spaces, a prefix or an odd number of digits.
 */
export function fromHex(text: string): Uint8Array {
  if (!HEX.test(text)) throw new SyntaxError('expected lower-case hex with an even number of digits')
  const bytes = new Uint8Array(text.length / 2)
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16)
  }
  return bytes
}

/** Writes lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
