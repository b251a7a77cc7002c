import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { combine, split } from 'shamir-secret-sharing'

import { combinePoints, type Point, splitSecret } from './secret-sharing.ts'
import { at, bytesOf, codeOf, secretOf } from './testing/samples.ts'

/** A threshold, a number of shares, and in which order they are brought. */
const quorums = fc.integer({ min: 2, max: 255 }).chain(shares =>
  fc.tuple(
    fc.integer({ min: 2, max: shares }),
    fc.shuffledSubarray(
      Array.from({ length: shares }, (_, position) => position),
      { minLength: shares },
    ),
  ),
)

function pointsOf(secret: Uint8Array, threshold: number, shares: number): readonly Point[] {
  return splitSecret({ secret: secretOf(secret), threshold, shares, randomBytes }).map((value, position) => ({
    index: position + 1,
    value,
  }))
}

describe('published vectors', () => {
  const fields = { secret: 'hex', indexes: 'json', values: 'hexList' } as const
  it.each(readVectors('shamir-share', 'secret-sharing.json', fields))('rebuild: $name', vector => {
    const indexes = vector.indexes as readonly number[]
    const points = vector.values.map((value, position) => ({ index: at(indexes, position), value: secretOf(value) }))
    expect(toHex(bytesOf(combinePoints(points)))).toBe(toHex(vector.secret))
  })
})

describe('a secret', () => {
  it('comes back from any quorum, in any order', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), quorums, (secret, [threshold, order]) => {
        const points = pointsOf(secret, threshold, order.length)
        const quorum = order.slice(0, threshold).map(position => at(points, position))
        expect(bytesOf(combinePoints(quorum))).toEqual(secret)
      }),
      { numRuns: 60 },
    )
  })

  it('does not come back from one share less', () => {
    fc.assert(
      fc.property(quorums, ([threshold, order]) => {
        fc.pre(threshold > 2)
        const secret = randomBytes(32)
        const points = pointsOf(secret, threshold, order.length)
        const tooFew = order.slice(1, threshold).map(position => at(points, position))
        expect(toHex(bytesOf(combinePoints(tooFew)))).not.toBe(toHex(secret))
      }),
      { numRuns: 60 },
    )
  })

  it('is not told by shares below the threshold: each other secret fits them as well', () => {
    const coefficients = Uint8Array.from(randomBytes(1))
    const share = (secret: number, coefficient: Uint8Array) =>
      bytesOf(
        at(
          splitSecret({
            secret: secretOf(Uint8Array.of(secret)),
            threshold: 2,
            shares: 2,
            randomBytes: () => Uint8Array.from(coefficient),
          }),
          0,
        ),
      )
    const [seen = 0] = share(7, coefficients)
    for (let other = 0; other < 256; other += 1) {
      const fitting = Array.from({ length: 256 }, (_, coefficient) => share(other, Uint8Array.of(coefficient))[0])
      expect(fitting.filter(value => value === seen)).toHaveLength(1)
    }
  })
})

describe('shamir-secret-sharing, which was audited', () => {
  it('rebuilds what is split here', async () => {
    for (const [threshold, shares] of [
      [2, 2],
      [3, 5],
      [128, 255],
    ] as const) {
      const secret = Uint8Array.from(randomBytes(32))
      const theirs = pointsOf(secret, threshold, shares).map(({ index, value }) =>
        Uint8Array.from([...bytesOf(value), index]),
      )
      expect(await combine(theirs.slice(-threshold))).toEqual(secret)
    }
  })

  it('splits what is rebuilt here', async () => {
    for (const [threshold, shares] of [
      [2, 2],
      [3, 5],
      [128, 255],
    ] as const) {
      const secret = Uint8Array.from(randomBytes(32))
      const points = (await split(secret, shares, threshold)).map(share => ({
        index: share[32] ?? 0,
        value: secretOf(share.subarray(0, 32)),
      }))
      expect(bytesOf(combinePoints(points.slice(0, threshold)))).toEqual(secret)
    }
  })
})

describe('what cannot be is refused with SHAMIR_INPUT_INVALID', () => {
  it.each([
    [1, 1],
    [1, 3],
    [0, 3],
    [4, 3],
    [2, 256],
    [2.5, 3],
    [Number.NaN, 3],
  ])('%d of %d', (threshold, shares) => {
    expect(codeOf(() => splitSecret({ secret: secretOf(randomBytes(32)), threshold, shares, randomBytes }))).toBe(
      'SHAMIR_INPUT_INVALID',
    )
  })

  it('a random source that gives too little', () => {
    const input = { secret: secretOf(randomBytes(32)), threshold: 2, shares: 2, randomBytes: () => new Uint8Array(31) }
    expect(codeOf(() => splitSecret(input))).toBe('SHAMIR_INPUT_INVALID')
  })

  it('one share, two of one index, index 0, different lengths, nothing inside', () => {
    const point = (index: number, byteLength = 2) => ({ index, value: secretOf(new Uint8Array(byteLength)) })
    for (const points of [
      [],
      [point(1)],
      [point(1), point(1)],
      [point(0), point(1)],
      [point(1), point(256)],
      [point(1), point(2, 3)],
      [point(1, 0), point(2, 0)],
    ]) {
      expect(codeOf(() => combinePoints(points))).toBe('SHAMIR_INPUT_INVALID')
    }
  })
})
