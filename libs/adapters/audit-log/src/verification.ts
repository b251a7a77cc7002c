import { type AuditTally, type ChainPosition, type FindCheckpointKey } from '@sealwright/audit'

/** What is asked of {@link verifyAuditLog}. */
export interface VerifyOptions {
  /** The keys of checkpoints. Left out, no checkpoint is checked, and the result says so. */
  readonly findCheckpointKey?: FindCheckpointKey
  /** A position that was noted elsewhere: the log must have that very line. */
  readonly expectedHead?: ChainPosition
  readonly signal?: AbortSignal
}

/** What is wrong with a log. */
export type AuditFaultKind =
  | 'changed' // bytes that are no line, or a line that does not fit the one before it or the head file
  | 'cut' // lines are missing, at the end or in between
  | 'reordered' // a line that belongs elsewhere in the log
  | 'forged-checkpoint' // the MAC of a checkpoint is not of its key
  | 'missing-segment' // a segment between others, or the last one, is gone
  | 'stale-head' // more lines behind the head file than any crash leaves
  | 'missing-head' // the head file is gone
  | 'malformed-head' // the head file is no head
  | 'unsupported' // a line of a version that a newer program may know

/** The first place that does not hold. */
export interface AuditFault {
  readonly kind: AuditFaultKind
  readonly segment: number
  /** 1, 2, … within the segment. */
  readonly line: number
  /** The sequence number that belongs there. */
  readonly sequence: number
}

/** Where the log begins: with its first line of all, or with a later segment, since older ones were removed. */
export type LogBeginning =
  | { readonly kind: 'first-segment' }
  | { readonly kind: 'later-segment'; readonly segment: number; readonly sequence: number }

/**
 * What became of {@link VerifyOptions.expectedHead}. `not-met` in a log that holds: it lies before the first line that is there, in a
 * segment that was removed.
 */
export type ExpectedHeadVerdict = 'not-given' | 'met' | 'not-met'

/** What was seen of a log: all of it, or what holds before the fault. */
export interface LogSummary {
  readonly begins: LogBeginning
  /** The last line that holds. Note it elsewhere, to recognise the log by it later. */
  readonly last: ChainPosition & { readonly segment: number }
  readonly tally: AuditTally
  /** Whether keys were given to check checkpoints with. */
  readonly checkpointsChecked: boolean
  readonly expectedHead: ExpectedHeadVerdict
}

/**
 * The verdict on a log.
 * - `empty`: there is none;
 * - `intact`: every line holds;
 * - `unfinished-end`: every line holds; behind the last one stand bytes that a crash left, or that are being written now;
 * - `broken`: something was changed. `summary` is of what stands before the fault.
 */
export type AuditVerification =
  | { readonly kind: 'empty' }
  | { readonly kind: 'intact'; readonly summary: LogSummary }
  | {
      readonly kind: 'unfinished-end'
      readonly summary: LogSummary
      readonly segment: number
      readonly line: number
      readonly bytes: number
    }
  | { readonly kind: 'broken'; readonly fault: AuditFault; readonly summary: LogSummary }
