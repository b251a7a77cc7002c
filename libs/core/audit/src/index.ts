export { CHAIN_START, type ChainPosition, succession, type Succession } from './chain.ts'
export {
  assertCheckpointKey,
  checkCheckpoint,
  type CheckpointKey,
  type CheckpointVerdict,
  encodeCheckpoint,
  type FindCheckpointKey,
} from './checkpoint.ts'
export { type CheckedEvent, checkEvent, type Detail, type DetailValue } from './detail.ts'
export { AuditError, type AuditErrorCode } from './errors.ts'
export { type AuditEvent, type AuditEventKind, fieldsOf, type LogEvent } from './events.ts'
export { decodeHead, encodeHead, type Head, MAX_HEAD_BYTES } from './head.ts'
export { MAX_LINE_BYTES, MAX_LINES_BEFORE_HEAD, MAX_SEGMENT, MAX_TEXT_UNITS, MAX_UNFINISHED_BYTES } from './limits.ts'
export {
  type AuditLine,
  decodeLine,
  type DecodedLine,
  type EncodedLine,
  encodeEvent,
  type LineFlaw,
  type Occasion,
} from './line.ts'
export { addToTally, type AuditTally, EMPTY_TALLY } from './tally.ts'
