/** The field polynomial x^8 + x^4 + x^3 + x + 1 without its first term (FIPS 197 §4.2). */
const REDUCTION = 0x1b
const FIELD_BITS = 8
const BYTE = 0xff

/**
 * The product of two elements of GF(2^8).
 *
 * Shifts and masks alone: neither a branch nor an address depends on `a` or `b`, so the time taken tells nothing of them.
 */
export function multiply(a: number, b: number): number {
  let product = 0
  let shifted = a
  for (let bit = 0; bit < FIELD_BITS; bit += 1) {
    product ^= -((b >> bit) & 1) & shifted
    shifted = ((shifted << 1) & BYTE) ^ (-(shifted >> (FIELD_BITS - 1)) & REDUCTION)
  }
  return product
}

/** The inverse of an element other than 0, which has none: a^254. */
export function invert(a: number): number {
  let inverse = 1
  // 254 is 1111_1110 in binary.
  for (let bit = FIELD_BITS - 1; bit >= 0; bit -= 1) {
    inverse = multiply(inverse, inverse)
    if (bit > 0) inverse = multiply(inverse, a)
  }
  return inverse
}
