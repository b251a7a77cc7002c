import { CHAIN_START, succession } from './chain.ts'

const before = { sequence: 5, hash: 'aa'.repeat(32) }

describe('succession', () => {
  it.each([
    [6, before.hash, 'follows'],
    [6, 'bb'.repeat(32), 'other-past'],
    [7, before.hash, 'too-late'],
    [5, before.hash, 'too-early'],
    [1, CHAIN_START.hash, 'too-early'],
  ])('of line %i behind %s', (sequence, previousHash, expected) => {
    expect(succession(before, { sequence, previousHash })).toBe(expected)
  })
})
