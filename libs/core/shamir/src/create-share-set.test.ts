import { randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { createShareSet, proveShares } from './create-share-set.ts'
import { rebuildPrivateKey } from './rebuild.ts'
import { encodeShare } from './share-text.ts'
import { readShareSet } from './share-set.ts'
import { at, bytesOf, codeOf, copyOf, errorOf, forged, idOf, sampleSet } from './testing/samples.ts'

const clusterId = idOf('cluster')

/** Gives these bytes first, one request after the other, and zeros from then on. */
function givenBytes(...given: readonly Uint8Array[]) {
  const left = given.map(bytes => Uint8Array.from(bytes))
  return (byteLength: number) => left.shift() ?? new Uint8Array(byteLength)
}

describe('a new share set', () => {
  const fields = {
    clusterId: 'hex',
    threshold: 'number',
    shares: 'number',
    seed: 'hex',
    coefficients: 'hex',
    wrappingKey: 'hex',
    memberId: 'hex',
    data: 'hex',
    values: 'hexList',
    texts: 'json',
  } as const
  it.each(readVectors('shamir-share', 'share-sets.json', fields))('is that of the vectors: $name', vector => {
    const { threshold, shares } = vector
    const set = createShareSet({
      clusterId: vector.clusterId,
      threshold,
      shares,
      randomBytes: givenBytes(vector.seed, vector.coefficients),
    })
    expect(toHex(set.wrappingKey)).toBe(toHex(vector.wrappingKey))
    expect(toHex(set.memberId)).toBe(toHex(vector.memberId))
    expect(toHex(set.data)).toBe(toHex(vector.data))
    expect(set.shares.map(({ value }) => toHex(bytesOf(value)))).toEqual(vector.values.map(toHex))
    expect(set.shares.map(share => encodeShare(share).reveal(bytes => Buffer.from(bytes).toString('latin1')))).toEqual(
      vector.texts,
    )
  })

  it('rebuilds its private key from any quorum', () => {
    const sizes = fc
      .integer({ min: 2, max: 12 })
      .chain(shares => fc.tuple(fc.integer({ min: 2, max: shares }), fc.constant(shares)))
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.nat()), ([threshold, count], order) => {
        const { shares, ...member } = createShareSet({ clusterId, threshold, shares: count, randomBytes })
        const set = readShareSet({ clusterId, member: { ...member, sealId: idOf('people') } })
        const left = [...shares]
        const quorum = Array.from({ length: threshold }, () => {
          const [taken] = left.splice((order.next().value ?? 0) % left.length, 1)
          return taken === undefined ? [] : [taken]
        }).flat()
        expect(rebuildPrivateKey(set, quorum).byteLength).toBe(32)
      }),
      { numRuns: 40 },
    )
  })

  it('is made in good time at its largest: 128 of 255', () => {
    expect(createShareSet({ clusterId, threshold: 128, shares: 255, randomBytes }).shares).toHaveLength(255)
  })

  it('is another one each time', () => {
    const ids = Array.from({ length: 3 }, () => toHex(sampleSet(2, 2).set.memberId))
    expect(new Set(ids).size).toBe(3)
  })
})

describe('what cannot be is refused with SHAMIR_INPUT_INVALID', () => {
  it.each([
    ['1 of 1: the share would be the key itself', { threshold: 1, shares: 1 }],
    ['1 of 3', { threshold: 1, shares: 3 }],
    ['4 of 3', { threshold: 4, shares: 3 }],
    ['2 of 256', { threshold: 2, shares: 256 }],
    ['a cluster id of 15 bytes', { clusterId: new Uint8Array(15) }],
    ['a random source that gives too little', { randomBytes: () => new Uint8Array(31) }],
  ])('%s', (_what, change) => {
    expect(codeOf(() => createShareSet({ clusterId, threshold: 2, shares: 3, randomBytes, ...change }))).toBe(
      'SHAMIR_INPUT_INVALID',
    )
  })
})

describe('shares are handed out only if they are proven', () => {
  const { set, shares } = sampleSet(3, 5)

  it('and these are', () => {
    expect(() => {
      proveShares({ set, shares, randomBytes })
    }).not.toThrow()
  })

  it('whichever of them is wrong', () => {
    for (const position of shares.keys()) {
      const spoilt = shares.with(position, forged(at(shares, position)))
      const prove = () => {
        proveShares({ set, shares: spoilt, randomBytes })
      }
      expect(codeOf(prove)).toBe('SHAMIR_SET_UNPROVEN')
    }
  })

  it('not if they rebuild the key of another set, though their check values fit', () => {
    const { wrappingKey } = sampleSet(3, 5).set
    const { code, cause } = errorOf(() => {
      proveShares({ set: { ...set, wrappingKey }, shares, randomBytes })
    })
    expect([code, cause]).toEqual(['SHAMIR_SET_UNPROVEN', expect.objectContaining({ code: 'SHAMIR_KEY_MISMATCH' })])
  })

  it('and what was proven is still there', () => {
    const copies = shares.map(share => copyOf(share))
    proveShares({ set, shares: copies, randomBytes })
    expect(copies.every(({ value }, position) => value.equals(at(shares, position).value))).toBe(true)
  })
})
