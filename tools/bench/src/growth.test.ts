import { type Growth, growthFigures, growthJson, toGrowthTable } from './growth.ts'

const size: Growth = {
  name: 'size',
  unit: 'bytes',
  points: [
    { nodes: 1, value: 1_234 },
    { nodes: 10, value: 12_340 },
    { nodes: 100, value: 246_800 },
  ],
}
const decode: Growth = {
  name: 'decode',
  unit: 'ms',
  points: [
    { nodes: 1, value: 0.2 },
    { nodes: 10, value: 1 },
    { nodes: 100, value: 20.0001 },
  ],
}

describe('growth', () => {
  it('is linear where the ratio is 1, and compares each cluster with the one before it, too', () => {
    expect(growthFigures(size).map(({ figure: { ratio }, step }) => [ratio, step])).toEqual([
      [1, 1],
      [1, 1],
      [2, 2],
    ])
    expect(growthFigures(decode).map(({ figure: { ratio }, step }) => [ratio, step])).toEqual([
      [1, 1],
      [0.5, 0.5],
      [1, 2],
    ])
  })

  it('says times to three digits, and every byte', () => {
    expect(growthFigures(decode).at(-1)?.figure).toEqual({ value: 20, unit: 'ms', reference: 20, ratio: 1 })
    expect(growthFigures(size).at(-1)?.figure).toEqual({ value: 246_800, unit: 'bytes', reference: 123_400, ratio: 2 })
  })

  it('has a row for each number of nodes, and a column for each thing', () => {
    expect(toGrowthTable([size, decode]).split('\n')).toEqual([
      '| nodes | size | decode |',
      '|---|---|---|',
      '| 1 | 1234 bytes (1, 1) | 0.2 ms (1, 1) |',
      '| 10 | 12340 bytes (1, 1) | 1 ms (0.5, 0.5) |',
      '| 100 | 246800 bytes (2, 2) | 20 ms (1, 2) |',
    ])
  })

  it('is told as JSON by the number of nodes', () => {
    expect(growthJson([size, decode])).toMatchObject({
      1: { decode: { value: 0.2, unit: 'ms', reference: 0.2, ratio: 1 } },
      100: { size: { value: 246_800, unit: 'bytes', reference: 123_400, ratio: 2 } },
    })
  })

  it('is not of nothing, and of the same clusters for all', () => {
    expect(() => growthFigures({ ...size, points: [] })).toThrow(RangeError)
    expect(() => toGrowthTable([size, { ...decode, points: decode.points.slice(0, 2) }])).toThrow(RangeError)
  })
})
