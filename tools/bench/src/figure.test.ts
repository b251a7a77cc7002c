import { median, rounded, toJson, toTable, type FigureReport } from './figure.ts'

const report: FigureReport = {
  name: 'tpm.unseal',
  figure: { value: 3, unit: 'ms', reference: 90, ratio: 30 },
  meaning: 'against a peer',
  target: '≥ 25',
  met: true,
}

describe('a figure', () => {
  it('is the middle value, or the mean of the two in the middle', () => {
    expect(median([5, 1, 3])).toBe(3)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(() => median([])).toThrow(RangeError)
  })

  it('has three significant digits', () => {
    expect([rounded(1234.5), rounded(0.012345), rounded(25.94)]).toEqual([1230, 0.0123, 25.9])
  })

  it('is told as JSON by its name, with value, unit, reference and ratio', () => {
    expect(JSON.parse(toJson([report]))).toEqual({
      'tpm.unseal': { value: 3, unit: 'ms', reference: 90, ratio: 30 },
    })
  })

  it('says in the table when it misses its target', () => {
    expect(toTable([report])).toContain('| met |')
    expect(toTable([{ ...report, met: false }])).toContain('| **missed** |')
  })
})
