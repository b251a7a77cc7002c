import { atLeast, atMost, median, rounded, toJson, toTable, type FigureReport } from './figure.ts'

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

  it('is told as JSON with whatever else was measured', () => {
    expect(JSON.parse(toJson([report], { keyring: { 1: {} } }))).toEqual({
      'tpm.unseal': report.figure,
      keyring: { 1: {} },
    })
  })

  it('meets a limit that it does not pass, whichever way that is', () => {
    const measurement = { name: 'agent.start', value: 1, unit: 'ms', meaning: 'against a limit' } as const
    const judgements = [1 / 3, 1, 3].map(limit => [atMost(measurement, limit), atLeast(measurement, limit)])
    expect(judgements.map(both => both.map(({ met, target }) => [met, target]))).toEqual([
      [
        [false, '≤ 1'],
        [true, '≥ 1'],
      ],
      [
        [true, '≤ 1'],
        [true, '≥ 1'],
      ],
      [
        [true, '≤ 1'],
        [false, '≥ 1'],
      ],
    ])
    expect(atMost(measurement, 3).figure).toEqual({ value: 1, unit: 'ms', reference: 3, ratio: 0.333 })
  })

  it('says in the table when it misses its target', () => {
    expect(toTable([report])).toContain('| met |')
    expect(toTable([{ ...report, met: false }])).toContain('| **missed** |')
  })
})
