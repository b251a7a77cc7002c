/** Bits of one digit. */
export const DIGIT_BITS = 5
/** Digits of one group that carry bytes; one check digit follows them. */
export const GROUP_DATA_DIGITS = 5
/** Digits of one group. */
export const GROUP_DIGITS = GROUP_DATA_DIGITS + 1

/** The field polynomial x^5 + x^2 + 1 of GF(2^5), in which check digits are computed. */
const REDUCTION = 0x25

const ASCII_ZERO = 0x30
/** From a digit's value to its letter where a letter takes over, and one more where a letter is left out. */
const LETTERS_FROM = 10
const FROM_NINE_TO_A = 0x27
const LEFT_OUT_BEFORE = [18, 20, 22, 27] // i, l, o, u

/**
 * The ASCII code of a digit: Crockford's base 32, lower case. Arithmetic only: an index into a table would show the digit.
 *
 * @param value - 0 to 31.
 */
export function digitCode(value: number): number {
  return LEFT_OUT_BEFORE.reduce(
    (code, first) => code + (atLeast(value, first) & 1),
    ASCII_ZERO + value + (atLeast(value, LETTERS_FROM) & FROM_NINE_TO_A),
  )
}

/**
 * The value of a digit, or -1. Capitals count as well, `i` and `l` as 1, `o` as 0. Arithmetic only.
 *
 * Each term is the value plus one inside its range and zero outside it.
 */
export function digitValue(code: number): number {
  const folded = code | (inRange(code, 0x41, 0x5a) & 0x20)
  return (
    (inRange(folded, 0x30, 0x39) & (folded - 0x30 + 1)) + // 0 to 9
    (inRange(folded, 0x61, 0x68) & (folded - 0x61 + 10 + 1)) + // a to h
    (inRange(folded, 0x69, 0x69) & (1 + 1)) + // i
    (inRange(folded, 0x6a, 0x6b) & (folded - 0x6a + 18 + 1)) + // j, k
    (inRange(folded, 0x6c, 0x6c) & (1 + 1)) + // l
    (inRange(folded, 0x6d, 0x6e) & (folded - 0x6d + 20 + 1)) + // m, n
    (inRange(folded, 0x6f, 0x6f) & (0 + 1)) + // o
    (inRange(folded, 0x70, 0x74) & (folded - 0x70 + 22 + 1)) + // p to t
    (inRange(folded, 0x76, 0x7a) & (folded - 0x76 + 27 + 1)) - // v to z
    1
  )
}

/**
 * The check digit of a group: x^5·d1 + x^4·d2 + … + x·d5 + the group's place, in GF(2^5). One changed digit, two that changed
 * places, and two groups that changed places always show.
 *
 * @param digits - the five values.
 * @param place - 0 to 31.
 */
export function checkDigit(digits: Uint8Array, place: number): number {
  return digits.reduce((sum, digit) => timesX(sum ^ digit), 0) ^ place
}

function timesX(value: number): number {
  return (value << 1) ^ (-(value >> (DIGIT_BITS - 1)) & REDUCTION)
}

/** All bits set if `value >= least`, else zero. */
function atLeast(value: number, least: number): number {
  return (least - 1 - value) >> 31
}

/** All bits set if `low <= code <= high`, else zero. */
function inRange(code: number, low: number, high: number): number {
  return ~((code - low) | (high - code)) >> 31
}
