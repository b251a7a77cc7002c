import {
  addToTally,
  type AuditLine,
  type AuditTally,
  CHAIN_START,
  type ChainPosition,
  checkCheckpoint,
  EMPTY_TALLY,
  succession,
} from '@sealwright/audit'
import { type FoundHead } from './head-file.ts'
import { type AuditFaultKind, type LogBeginning, type VerifyOptions } from './verification.ts'

/** How far a check has come. */
export interface Progress {
  /** The segment that is read. */
  readonly segment: number
  /** Lines of it that hold. */
  readonly lines: number
  /** The last line that holds, in this segment or the one before. */
  readonly last: ChainPosition
  readonly begins: LogBeginning
  readonly tally: AuditTally
  /** Whether the position that was noted elsewhere was met. */
  readonly isExpectedMet: boolean
}

/** Before the first line of a log whose oldest segment is `firstSegment`. */
export function progressBefore(firstSegment: number): Progress {
  return {
    segment: firstSegment - 1,
    lines: 0,
    last: CHAIN_START,
    begins: { kind: 'first-segment' },
    tally: EMPTY_TALLY,
    isExpectedMet: false,
  }
}

/** What a line comes to. `gap`: lines before it are missing here; whether they stand elsewhere is not known yet. */
export type LineVerdict =
  | { readonly kind: 'holds'; readonly progress: Progress }
  | { readonly kind: 'gap' }
  | { readonly kind: 'fault'; readonly fault: AuditFaultKind }

/** Checks a line that is whole in itself: its place in the chain, its checkpoint, the head file, and the position noted elsewhere. */
export function checkLine(
  progress: Progress,
  line: AuditLine,
  { head, options }: { readonly head: FoundHead; readonly options: VerifyOptions },
): LineVerdict {
  const { segment, lines, begins, tally } = progress
  const { sequence, hash } = line
  // Where older segments were removed, nothing is there to compare the first line with.
  const isFreeStart = tally.lines === 0 && segment > 1
  switch (isFreeStart ? 'follows' : succession(progress.last, line)) {
    case 'too-early':
      return fault('reordered')
    case 'too-late':
      return { kind: 'gap' }
    case 'other-past':
      return fault('changed')
    case 'follows':
  }
  const isOpening = line.kind === 'segment-opened' && line.detail.segment === segment
  if (isOpening !== (lines === 0)) return fault(lines === 0 ? 'cut' : 'changed')
  const checkpoint = checkCheckpoint(line, options.findCheckpointKey ?? (() => undefined))
  if (checkpoint === 'forged') return fault('forged-checkpoint')
  if (head.kind === 'found' && head.head.sequence === sequence) {
    if (head.head.hash !== hash || head.head.segment !== segment) return fault('changed')
  }
  const isExpected = options.expectedHead?.sequence === sequence
  if (isExpected && options.expectedHead.hash !== hash) return fault('changed')
  return {
    kind: 'holds',
    progress: {
      segment,
      lines: lines + 1,
      last: { sequence, hash },
      begins: isFreeStart ? { kind: 'later-segment', segment, sequence } : begins,
      tally: addToTally(tally, line, checkpoint),
      isExpectedMet: progress.isExpectedMet || isExpected,
    },
  }
}

function fault(kind: AuditFaultKind): LineVerdict {
  return { kind: 'fault', fault: kind }
}
