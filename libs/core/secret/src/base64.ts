import { allocateKeyBytes } from './key-bytes.ts'
import { SecretError } from './secret-error.ts'
import { Secret } from './secret.ts'

/** Encoded digits in one group, and the bytes they stand for (RFC 4648 §4). */
const GROUP_DIGITS = 4
const GROUP_BYTES = 3

const PADDING = 0x3d // "="
const LINE_FEED = 0x0a

/**
 * Decodes standard base64 that lies in bytes, without ever making a string: a string cannot be wiped.
 *
 * Strict: one value has one spelling. Refused are the empty input, line breaks and spaces anywhere (also one line break at
 * the end), the URL alphabet, missing or surplus padding, and padding bits that are not zero (RFC 4648 §3.5). The time
 * taken depends on the length and not on the digits, as long as the input is valid.
 *
 * @param bytes - ASCII; stays the caller's, who wipes it.
 * @throws {@link SecretError} `SECRET_BASE64_INVALID`.
 * @see RFC 4648 §4
 */
export function decodeBase64(bytes: Uint8Array): Secret {
  if (bytes.byteLength === 0) throw invalid('it is empty')
  if (bytes.at(-1) === LINE_FEED) throw invalid('it ends with a line break (encode it without one)')
  if (bytes.byteLength % GROUP_DIGITS !== 0) {
    throw invalid(`its length, ${bytes.byteLength} bytes, is not a multiple of ${GROUP_DIGITS}`)
  }
  const digits = bytes.subarray(0, bytes.byteLength - paddingLength(bytes))
  const decoded = allocateKeyBytes(Math.floor((digits.byteLength * GROUP_BYTES) / GROUP_DIGITS))
  // Both stay zero for a canonical input; looked at once, at the end.
  let notADigit = 0
  let pendingBits = 0
  let pending = 0
  let length = 0
  for (const digit of digits) {
    const value = digitValue(digit)
    notADigit |= value >> 31
    pending = (pending << 6) | (value & 0x3f)
    pendingBits += 6
    if (pendingBits >= 8) {
      pendingBits -= 8
      decoded[length] = pending >> pendingBits
      length += 1
      pending &= (1 << pendingBits) - 1
    }
  }
  if (notADigit !== 0 || pending !== 0) {
    decoded.fill(0)
    if (notADigit === 0) throw invalid('its padding bits are not zero')
    throw invalid(`the byte at offset ${digits.findIndex(digit => digitValue(digit) < 0)} is outside the alphabet`)
  }
  return new Secret(decoded)
}

/** How many of the last two bytes are padding. More than two are left to fail as digits. */
function paddingLength(bytes: Uint8Array): number {
  if (bytes.at(-1) !== PADDING) return 0
  return bytes.at(-2) === PADDING ? 2 : 1
}

/**
 * The value of one digit, or -1. Arithmetic only: a table look-up or a branch would show the digit by its timing.
 *
 * Each term is the value of its range plus one inside that range and zero outside it.
 */
function digitValue(digit: number): number {
  return (
    (inRange(digit, 0x41, 0x5a) & (digit - 0x41 + 1)) + // A to Z are 0 to 25
    (inRange(digit, 0x61, 0x7a) & (digit - 0x61 + 26 + 1)) + // a to z are 26 to 51
    (inRange(digit, 0x30, 0x39) & (digit - 0x30 + 52 + 1)) + // 0 to 9 are 52 to 61
    (inRange(digit, 0x2b, 0x2b) & (62 + 1)) + // "+"
    (inRange(digit, 0x2f, 0x2f) & (63 + 1)) - // "/"
    1
  )
}

/** All bits set if `low <= digit <= high`, else zero. */
function inRange(digit: number, low: number, high: number): number {
  return ~((digit - low) | (high - digit)) >> 31
}

function invalid(reason: string): SecretError {
  return new SecretError('SECRET_BASE64_INVALID', `not canonical standard base64: ${reason}`)
}
