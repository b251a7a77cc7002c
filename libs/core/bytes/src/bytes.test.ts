import fc from 'fast-check'

import { compareBytes, hex, joinBytes, lengthPrefixed, sameBytes, textBytes, uint32 } from './index.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const lists = fc.array(bytes, { maxLength: 6 })

/** What a byte at a time says. */
function order(a: Uint8Array, b: Uint8Array): number {
  const at = [...a].findIndex((byte, index) => byte !== b[index])
  if (at === -1) return a.byteLength - b.byteLength
  return at < b.byteLength ? (a[at] ?? 0) - (b[at] ?? 0) : 1
}

describe('compareBytes', () => {
  it('orders by the first byte that differs, and a prefix comes first', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Math.sign(order(a, b)))
        expect(Math.sign(compareBytes(a, joinBytes([a, b])))).toBe(b.byteLength === 0 ? 0 : -1)
      }),
    )
  })
})

describe('sameBytes', () => {
  it('is true for the same bytes alone, wherever in memory they are', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const elsewhere = joinBytes([b, a]).subarray(b.byteLength)
        expect(sameBytes(a, elsewhere)).toBe(true)
        expect(sameBytes(a, b)).toBe(hex(a) === hex(b))
      }),
    )
  })
})

describe('joinBytes', () => {
  it('puts all one behind another, in an array of their own', () => {
    fc.assert(
      fc.property(lists, parts => {
        const joined = joinBytes(parts)
        expect([...joined]).toEqual(parts.flatMap(part => [...part]))
        const before = parts.map(hex)
        joined.fill(255)
        expect(parts.map(hex)).toEqual(before)
      }),
    )
  })

  it('keeps also few bytes outside the heap of the engine, which copies what it moves', () => {
    const before = process.memoryUsage().arrayBuffers
    const kept = Array.from({ length: 1_000 }, () => joinBytes([new Uint8Array(32)]))
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThanOrEqual(kept.length * 32)
  })
})

describe('lengthPrefixed', () => {
  it('writes each field behind its length', () => {
    expect(hex(lengthPrefixed([Uint8Array.of(7, 8), new Uint8Array(), Uint8Array.of(9)]))).toBe(
      '00000002' + '0708' + '00000000' + '00000001' + '09',
    )
  })

  it('never makes the same bytes of two lists', () => {
    fc.assert(
      fc.property(lists, lists, (one, other) => {
        const isSame =
          one.length === other.length && one.every((field, index) => hex(field) === hex(other[index] ?? field))
        expect(sameBytes(lengthPrefixed(one), lengthPrefixed(other))).toBe(isSame)
      }),
    )
    expect(lengthPrefixed([textBytes('ab'), textBytes('c')])).not.toEqual(
      lengthPrefixed([textBytes('a'), textBytes('bc')]),
    )
  })
})

it('writes numbers of 32 bits, the highest byte first', () => {
  expect(hex(uint32(0x01020304))).toBe('01020304')
  expect(hex(uint32(0xffff_ffff))).toBe('ffffffff')
})

it('writes the part of a buffer that it is given, in lower-case hex', () => {
  expect(hex(Uint8Array.of(1, 0xab, 0xcd, 2).subarray(1, 3))).toBe('abcd')
})

it('writes text as UTF-8', () => {
  expect(hex(textBytes('aé'))).toBe('61c3a9')
})
