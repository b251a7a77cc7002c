import { rehearse } from './rehearsal.ts'
import { type Share } from './share.ts'
import { at, copyOf, forged, sampleSet } from './testing/samples.ts'

const { set, shares } = sampleSet(3, 5)
const copies = (positions: readonly number[]) => positions.map(position => copyOf(at(shares, position)))

/** The verdicts in short. */
function verdictsOn(brought: readonly Share[], of = set) {
  return rehearse({ set: of, shares: brought }).verdicts.map(verdict => [
    verdict.index,
    verdict.kind === 'good' ? 'good' : verdict.error.code,
  ])
}

describe('a rehearsal', () => {
  it('proves a quorum', () => {
    expect(rehearse({ set, shares: copies([4, 1, 2]) })).toEqual({
      verdicts: [5, 2, 3].map(index => ({ index, kind: 'good' })),
      good: 3,
      threshold: 3,
      outcome: { kind: 'proven' },
    })
  })

  it('proves more shares than it takes, too', () => {
    expect(rehearse({ set, shares: copies([0, 1, 2, 3, 4]) })).toMatchObject({ good: 5, outcome: { kind: 'proven' } })
  })

  it('names each share that is good and each that is not', () => {
    const brought = [
      ...copies([0]),
      forged(at(shares, 1)),
      ...copies([0, 2]),
      at(sampleSet(3, 5).shares, 3),
      at(sampleSet(3, 5, 'people', 'staging').shares, 4),
    ]
    expect(verdictsOn(brought)).toEqual([
      [1, 'good'],
      [2, 'SHAMIR_SHARE_WRONG'],
      [1, 'SHAMIR_SHARE_REPEATED'],
      [3, 'good'],
      [4, 'SHAMIR_OTHER_SET'],
      [5, 'SHAMIR_OTHER_CLUSTER'],
    ])
  })

  it('says how many good shares are missing', () => {
    const outcomeOf = (brought: readonly Share[]) => rehearse({ set, shares: brought }).outcome
    expect(outcomeOf([])).toEqual({ kind: 'too-few', missing: 3 })
    expect(outcomeOf([...copies([0, 1]), forged(at(shares, 2))])).toEqual({ kind: 'too-few', missing: 1 })
  })

  it('fails if good shares rebuild another key: the keyring was changed', () => {
    const changed = { ...set, wrappingKey: sampleSet(3, 5).set.wrappingKey }
    expect(rehearse({ set: changed, shares: copies([0, 1, 2]) }).outcome).toMatchObject({
      kind: 'failed',
      error: { code: 'SHAMIR_KEY_MISMATCH' },
    })
  })

  it('wipes every share that was brought, good or bad', () => {
    const brought = [...copies([0, 1, 2]), forged(at(shares, 3))]
    rehearse({ set, shares: brought })
    for (const { value } of brought) expect(() => value.reveal(() => null)).toThrow('this secret was wiped')
  })
})
