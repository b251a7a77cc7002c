import { createRepeatLimit } from './repeat-limit.ts'

let nowMs: number

beforeEach(() => {
  nowMs = 1_000
})

function limit() {
  return createRepeatLimit({ intervalMs: 100, now: () => nowMs })
}

describe('the repeat limit', () => {
  it('admits the first of each kind, then one an interval with the number held back', () => {
    const repeats = limit()
    expect([repeats.admit('a'), repeats.admit('a'), repeats.admit('b'), repeats.admit('a')]).toEqual([0, null, 0, null])
    nowMs += 100
    expect([repeats.admit('a'), repeats.admit('b')]).toEqual([2, 0])
  })

  it('forgets by the beginning of the kind', () => {
    const repeats = limit()
    repeats.admit('seal tpm X')
    repeats.admit('call X')
    repeats.clear('seal tpm ')
    expect([repeats.admit('seal tpm X'), repeats.admit('call X')]).toEqual([0, null])
    repeats.clear()
    expect(repeats.admit('call X')).toBe(0)
  })

  it('is not silenced by a clock that was set back', () => {
    const repeats = limit()
    repeats.admit('a')
    nowMs = 0
    expect(repeats.admit('a')).toBe(0)
  })
})
