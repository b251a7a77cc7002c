import { formatShareCard } from './share-card.ts'
import { at, sampleSet } from './testing/samples.ts'

describe('the card of a share', () => {
  it('says whose it is, which one of how many, and when it was made, and not the share', () => {
    const { shares } = sampleSet(3, 5)
    const card = formatShareCard({
      share: at(shares, 1),
      sealName: 'people',
      setLabel: 'board',
      createdAtMs: Date.UTC(2025, 0, 31, 23, 59, 59),
    })
    expect(card).toEqual({
      clusterId: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown,
      memberId: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown,
      sealName: 'people',
      setLabel: 'board',
      index: 2,
      shares: 5,
      threshold: 3,
      createdOn: '2025-01-31',
    })
  })
})
