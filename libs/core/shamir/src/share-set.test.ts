import { randomBytes } from 'node:crypto'

import { readVectors } from '@sealwright/testing-vectors'

import { createShareSet } from './create-share-set.ts'
import { assertShareOf, encodeCheckValues, MAX_SHARE_SET_DATA_BYTES, readShareSet } from './share-set.ts'
import { at, codeOf, copyOf, errorOf, flips, forged, idOf, sampleSet } from './testing/samples.ts'

const clusterId = idOf('cluster')
const created = createShareSet({ clusterId, threshold: 2, shares: 3, randomBytes })
const member = { ...created, sealId: idOf('people') }

describe('the data of a share set', () => {
  const fields = { data: 'hex', code: 'text' } as const
  it.each(readVectors('shamir-share', 'refused-data.json', fields))('is refused as the vectors say: $name', vector => {
    expect(codeOf(() => readShareSet({ clusterId, member: { ...member, data: vector.data } }))).toBe(vector.code)
  })

  it('reads back', () => {
    const set = readShareSet({ clusterId, member })
    expect(set).toMatchObject({ clusterId, memberId: member.memberId, threshold: 2, shares: 3 })
    expect(encodeCheckValues(set)).toEqual(member.data)
  })

  it('is refused cut off anywhere', () => {
    for (let length = 0; length < member.data.byteLength; length += 1) {
      const data = member.data.subarray(0, length)
      expect(codeOf(() => readShareSet({ clusterId, member: { ...member, data } }))).toBe('SHAMIR_SET_MALFORMED')
    }
  })

  it('never lets a share pass with any bit flipped', () => {
    for (const { flipped, offset } of flips(member.data)) {
      const code = codeOf(() => {
        const set = readShareSet({ clusterId, member: { ...member, data: flipped } })
        for (const share of created.shares) assertShareOf(set, share)
      })
      if (offset >= 7) expect(code).toBe('SHAMIR_SHARE_WRONG')
      else expect(['SHAMIR_SET_MALFORMED', 'SHAMIR_SET_UNSUPPORTED', 'SHAMIR_SHARE_WRONG']).toContain(code)
    }
  })

  it('fits into a keyring with as many shares as there can be', () => {
    expect(MAX_SHARE_SET_DATA_BYTES).toBe(8167)
    const { data } = createShareSet({ clusterId, threshold: 2, shares: 255, randomBytes })
    expect(data).toHaveLength(MAX_SHARE_SET_DATA_BYTES)
  })
})

describe('a member that is no share set', () => {
  it('is refused with SHAMIR_SET_MALFORMED: another id, another key, none', () => {
    for (const changed of [
      { ...member, memberId: idOf('other') },
      { ...member, wrappingKey: sampleSet(2, 2).set.wrappingKey },
      { ...member, wrappingKey: new Uint8Array() },
    ]) {
      expect(codeOf(() => readShareSet({ clusterId, member: changed }))).toBe('SHAMIR_SET_MALFORMED')
    }
  })
})

describe('a share', () => {
  const { set, shares } = sampleSet(2, 3)
  const share = at(shares, 1)

  it('that was handed out is taken', () => {
    for (const each of shares) {
      expect(() => {
        assertShareOf(set, each)
      }).not.toThrow()
    }
  })

  it('with another value, index, threshold or number of shares is named by its index', () => {
    for (const wrong of [
      forged(share),
      copyOf(share, { index: 3 }),
      copyOf(share, { threshold: 3 }),
      copyOf(share, { shares: 4 }),
      copyOf(share, { shares: 4, index: 4 }),
    ]) {
      const { code, index } = errorOf(() => {
        assertShareOf(set, wrong)
      })
      expect([code, index]).toEqual(['SHAMIR_SHARE_WRONG', wrong.index])
    }
  })

  it('of another cluster, seal or set is refused as that, in words that say whose it is', () => {
    const otherTeam = sampleSet(2, 3)
    const otherSeal = sampleSet(2, 3, 'auditors')
    const others = [
      { ...otherTeam.set, sealName: 'people', label: 'night-shift' },
      { ...otherSeal.set, sealName: 'auditors', label: 'firm' },
    ]
    const refusal = (stray: Parameters<typeof assertShareOf>[1]) =>
      errorOf(() => {
        assertShareOf(set, stray, others)
      })
    expect(refusal(at(sampleSet(2, 3, 'people', 'staging').shares, 0)).code).toBe('SHAMIR_OTHER_CLUSTER')
    expect(refusal(at(sampleSet(2, 3).shares, 0)).code).toBe('SHAMIR_OTHER_SET')
    const ofTeam = refusal(at(otherTeam.shares, 0))
    expect([ofTeam.code, ofTeam.message.includes('night-shift')]).toEqual(['SHAMIR_OTHER_SET', true])
    const ofSeal = refusal(at(otherSeal.shares, 0))
    expect([ofSeal.code, ofSeal.message.includes('auditors')]).toEqual(['SHAMIR_OTHER_SEAL', true])
  })
})
