import fc from 'fast-check'
import { decodeHead, encodeHead, MAX_HEAD_BYTES } from './head.ts'

const head = { segment: 3, sequence: 1234, hash: '0f'.repeat(32) }
const bytes = Buffer.from(encodeHead(head))

describe('a head', () => {
  it('is one line', () => {
    expect(bytes.toString()).toBe(`{"v":1,"segment":3,"seq":1234,"hash":"${head.hash}"}\n`)
  })

  it('is read back as it was written, and is never too long', () => {
    const hash = fc.stringMatching(/^[0-9a-f]{64}$/)
    const numbers = [fc.integer({ min: 1, max: 9_999_999 }), fc.integer({ min: 1, max: 999_999_999_999_999 })] as const
    fc.assert(
      fc.property(...numbers, hash, (segment, sequence, digits) => {
        const encoded = Buffer.from(encodeHead({ segment, sequence, hash: digits }))
        expect(decodeHead(encoded)).toEqual({ segment, sequence, hash: digits })
        expect(encoded.byteLength).toBeLessThanOrEqual(MAX_HEAD_BYTES)
      }),
    )
  })

  it('is refused wherever it is cut short, and with something behind it', () => {
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect([length, decodeHead(bytes.subarray(0, length))]).toEqual([length, undefined])
    }
    expect(decodeHead(Buffer.concat([bytes, Buffer.from('\n')]))).toBeUndefined()
  })

  it('is refused, or another one, with any bit flipped', () => {
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect([bit, decodeHead(flipped)]).not.toEqual([bit, head])
    }
  })

  it.each(['"segment":03', '"segment":0', '"segment":10000000', '"segment":-1'])('is refused with %s', text => {
    expect(decodeHead(Buffer.from(encodeHead(head).replace('"segment":3', text)))).toBeUndefined()
  })
})
