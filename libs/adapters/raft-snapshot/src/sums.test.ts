import { createHash } from 'node:crypto'
import { assertSums, type RaftSnapshotSums } from './sums.ts'
import { codeOf } from './testing/read.ts'
import { hexSum } from './testing/write-snapshot.ts'

const meta = Buffer.from('meta')
const state = Buffer.from('state')
const sums: RaftSnapshotSums = {
  metaJson: createHash('sha256').update(meta).digest(),
  stateBin: createHash('sha256').update(state).digest(),
}
const metaLine = `${hexSum(meta)}  meta.json\n`
const stateLine = `${hexSum(state)}  state.bin\n`

const check = async (text: string) => {
  await Promise.resolve()
  assertSums(Buffer.from(text), sums)
}

describe('a list of sums', () => {
  it.each([
    ['meta.json first', metaLine + stateLine],
    ['state.bin first', stateLine + metaLine],
  ])('fits with %s', async (_case, text) => {
    expect(await codeOf(check(text))).toBeUndefined()
  })

  it.each([
    ['meta.json', `${hexSum(state)}  meta.json\n${stateLine}`],
    ['state.bin', `${metaLine}${hexSum(meta)}  state.bin\n`],
  ])('does not fit with another sum of %s', async (_case, text) => {
    expect(await codeOf(check(text))).toBe('RAFT_SNAPSHOT_SUM_MISMATCH')
  })

  it.each([
    ['nothing', ''],
    ['one line', metaLine],
    ['a line twice', metaLine + metaLine],
    ['a third line', metaLine + stateLine + metaLine],
    ['an empty line', `${metaLine}${stateLine}\n`],
    ['no end of line', (metaLine + stateLine).trimEnd()],
    ['another end of line', (metaLine + stateLine).replaceAll('\n', '\r\n')],
    ['another file', metaLine + stateLine.replace('state.bin', 'other.bin')],
    ['upper case', (metaLine + stateLine).toUpperCase()],
    ['one space', (metaLine + stateLine).replaceAll('  ', ' ')],
    ['a short sum', metaLine + stateLine.slice(1)],
  ])('is refused: %s', async (_case, text) => {
    expect(await codeOf(check(text))).toBe('RAFT_SNAPSHOT_SUMS_MALFORMED')
  })

  it('is refused wherever it is cut and with any bit flipped', async () => {
    const whole = Buffer.from(metaLine + stateLine)
    for (let byteLength = 0; byteLength < whole.byteLength; byteLength += 1) {
      const cut = whole.subarray(0, byteLength).toString('latin1')
      expect(await codeOf(check(cut))).toBe('RAFT_SNAPSHOT_SUMS_MALFORMED')
    }
    for (let bit = 0; bit < whole.byteLength * 8; bit += 1) {
      const flipped = Buffer.from(whole)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const verdict = async () => {
        await Promise.resolve()
        assertSums(flipped, sums)
      }
      expect(['RAFT_SNAPSHOT_SUMS_MALFORMED', 'RAFT_SNAPSHOT_SUM_MISMATCH']).toContain(await codeOf(verdict()))
    }
  })
})
