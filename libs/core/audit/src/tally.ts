import { type CheckpointVerdict } from './checkpoint.ts'
import { fieldsOf } from './events.ts'
import { type AuditLine } from './line.ts'

/** What was counted on the way through a log. */
export interface AuditTally {
  readonly lines: number
  /** Lines of a kind that only a newer version knows. Their place in the chain was checked all the same. */
  readonly unknownKinds: number
  /** Events that the log says it had to drop. */
  readonly eventsLost: number
  /** Crashes that left an unfinished line behind. */
  readonly unfinishedEnds: number
  /** Times that the writer itself found the log broken when it opened it. */
  readonly breaksNoted: number
  readonly checkpoints: {
    readonly genuine: number
    /** Their key was not at hand. */
    readonly unchecked: number
    /** Up to here nobody without the key can have rewritten the log; 0 if no checkpoint was found genuine. */
    readonly vouchedUpTo: number
  }
  /** Times of the first and the last line, milliseconds since 1970 by the clock of the node; `undefined` without lines. */
  readonly firstTimeMs: number | undefined
  readonly lastTimeMs: number | undefined
}

/** Before the first line. */
export const EMPTY_TALLY: AuditTally = {
  lines: 0,
  unknownKinds: 0,
  eventsLost: 0,
  unfinishedEnds: 0,
  breaksNoted: 0,
  checkpoints: { genuine: 0, unchecked: 0, vouchedUpTo: 0 },
  firstTimeMs: undefined,
  lastTimeMs: undefined,
}

/**
 * Counts one more line.
 *
 * @param verdict - of the line's checkpoint; `undefined` if it is none.
 */
export function addToTally(tally: AuditTally, line: AuditLine, verdict: CheckpointVerdict | undefined): AuditTally {
  const { kind, detail, sequence, timeMs } = line
  const { genuine, unchecked, vouchedUpTo } = tally.checkpoints
  const isOpening = kind === 'segment-opened'
  return {
    lines: tally.lines + 1,
    unknownKinds: tally.unknownKinds + one(fieldsOf(kind) === undefined),
    eventsLost: tally.eventsLost + (kind === 'events-lost' ? Number(detail.count) : 0),
    unfinishedEnds: tally.unfinishedEnds + one(isOpening && detail.reason === 'unfinished'),
    breaksNoted: tally.breaksNoted + one(isOpening && detail.reason === 'broken'),
    checkpoints: {
      genuine: genuine + one(verdict === 'genuine'),
      unchecked: unchecked + one(verdict === 'unchecked'),
      vouchedUpTo: verdict === 'genuine' ? sequence : vouchedUpTo,
    },
    firstTimeMs: tally.firstTimeMs ?? timeMs,
    lastTimeMs: timeMs,
  }
}

function one(is: boolean): number {
  return is ? 1 : 0
}
