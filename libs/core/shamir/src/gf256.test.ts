import { invert, multiply } from './gf256.ts'

describe('GF(2^8)', () => {
  it.each([
    [0x57, 0x83, 0xc1], // FIPS 197 §4.2
    [0x57, 0x13, 0xfe], // FIPS 197 §4.2.1
    [0x57, 0x02, 0xae],
    [0x57, 0x04, 0x47],
    [0x57, 0x08, 0x8e],
    [0x57, 0x10, 0x07],
  ])('multiplies as FIPS 197 does: %i and %i', (a, b, product) => {
    expect(multiply(a, b)).toBe(product)
    expect(multiply(b, a)).toBe(product)
  })

  it('has 0 and 1, and an inverse for each other element', () => {
    for (let a = 0; a < 256; a += 1) {
      expect([multiply(a, 0), multiply(a, 1), multiply(a, invert(a))]).toEqual([0, a, a === 0 ? 0 : 1])
    }
  })

  it('distributes over addition', () => {
    for (let a = 0; a < 256; a += 1) {
      for (let b = 0; b < 256; b += 1) expect(multiply(a, b ^ 0x35)).toBe(multiply(a, b) ^ multiply(a, 0x35))
    }
  })
})
