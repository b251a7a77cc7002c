import { type AuditLine } from './line.ts'
import { addToTally, EMPTY_TALLY } from './tally.ts'

function line(sequence: number, kind: string, detail: AuditLine['detail'] = {}): AuditLine {
  return { sequence, hash: '', previousHash: '', timeMs: 1000 + sequence, node: 'node-1', kind, detail }
}

describe('the tally', () => {
  it('counts lines, kinds that nobody knows, losses, crashes and checkpoints', () => {
    const lines = [
      line(1, 'segment-opened', { segment: 1, reason: 'first' }),
      line(2, 'moon-risen'),
      line(3, 'events-lost', { count: 12 }),
      line(4, 'segment-opened', { segment: 2, reason: 'unfinished' }),
      line(5, 'segment-opened', { segment: 3, reason: 'broken' }),
    ]
    const counted = lines.reduce((tally, each) => addToTally(tally, each, undefined), EMPTY_TALLY)
    const vouched = addToTally(counted, line(6, 'checkpoint'), 'genuine')
    expect(addToTally(vouched, line(7, 'checkpoint'), 'unchecked')).toEqual({
      lines: 7,
      unknownKinds: 1,
      eventsLost: 12,
      unfinishedEnds: 1,
      breaksNoted: 1,
      checkpoints: { genuine: 1, unchecked: 1, vouchedUpTo: 6 },
      firstTimeMs: 1001,
      lastTimeMs: 1007,
    })
  })
})
