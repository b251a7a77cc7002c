import { type Detail, MAX_LINES_BEFORE_HEAD, MAX_UNFINISHED_BYTES } from '@sealwright/audit'
import { checkLine, type Progress, progressBefore } from './check-line.ts'
import { type LogFolder, openLogFolder } from './folder.ts'
import { type FoundHead, readHead } from './head-file.ts'
import { segmentsAmong } from './names.ts'
import { type FlawedBytes, measureRest, readFirstLine, readSegment, type SegmentRest } from './read-segment.ts'
import { type AuditFaultKind, type AuditVerification, type LogSummary, type VerifyOptions } from './verification.ts'

/**
 * Checks a whole log, from its oldest segment to its end, with a line and a chunk in memory. Reads only; the log may be written to
 * meanwhile.
 *
 * @throws {@link AuditLogError} `AUDIT_LOG_FOLDER_UNUSABLE`, `AUDIT_LOG_UNREADABLE`; the reason of `options.signal`.
 */
export async function verifyAuditLog(directory: string, options: VerifyOptions = {}): Promise<AuditVerification> {
  await using folder = await openLogFolder(directory, { create: false })
  // The head file first: what is written meanwhile comes behind it.
  const head = await readHead(folder)
  const segments = segmentsAmong(await folder.list())
  return await checkLog({ folder, head, segments, options })
}

interface Log {
  readonly folder: LogFolder
  readonly head: FoundHead
  readonly segments: readonly number[]
  readonly options: VerifyOptions
}

async function checkLog(log: Log): Promise<AuditVerification> {
  const { head, segments, options } = log
  const [first] = segments
  if (head.kind === 'malformed') return broken(log, nextSegment(progressBefore(first ?? 1)), 'malformed-head')
  if (first === undefined) {
    if (head.kind === 'missing' && options.expectedHead === undefined) return { kind: 'empty' }
    return broken(log, nextSegment(progressBefore(1)), 'missing-segment')
  }
  let progress = progressBefore(first)
  for (const [index, segment] of segments.entries()) {
    if (segment > progress.segment + 1) return broken(log, nextSegment(progress), 'missing-segment')
    progress = nextSegment(progress)
    const outcome = await checkSegment(log, progress, segments[index + 1])
    if (outcome.kind !== 'holds') return outcome
    progress = outcome.progress
  }
  const missing = findMissingEnd(log, progress)
  if (missing === undefined) return { kind: 'intact', summary: summaryOf(log, progress) }
  return broken(log, missing === 'missing-segment' ? nextSegment(progress) : progress, missing)
}

function nextSegment(progress: Progress): Progress {
  return { ...progress, segment: progress.segment + 1, lines: 0 }
}

/** Checks one segment. `next` is the one behind it, if there is one. */
async function checkSegment(
  log: Log,
  before: Progress,
  next: number | undefined,
): Promise<{ readonly kind: 'holds'; readonly progress: Progress } | AuditVerification> {
  let progress = before
  for await (const item of readSegment(log.folder, before.segment)) {
    log.options.signal?.throwIfAborted()
    if (item.kind === 'flawed') {
      const verdict = await judgeRest(log, progress, item, next)
      return verdict ?? { kind: 'holds', progress }
    }
    const verdict = checkLine(progress, item.line, log)
    switch (verdict.kind) {
      case 'holds':
        progress = verdict.progress
        break
      case 'gap':
        return broken(log, progress, (await standsElsewhere(log, progress)) ? 'reordered' : 'cut')
      case 'fault':
        return broken(log, progress, verdict.fault)
    }
  }
  // Nothing at all, or an end that a crash had left and the next segment tells of, was taken away.
  const isCut = progress.lines === 0 || (next !== undefined && (await toldRest(log.folder, next)) !== undefined)
  return isCut ? broken(log, progress, 'cut') : { kind: 'holds', progress }
}

/** Whether the line that belongs to the place that was reached stands somewhere behind it. */
async function standsElsewhere({ folder, segments, options }: Log, { segment, last }: Progress): Promise<boolean> {
  for (const later of segments.filter(number => number >= segment)) {
    for await (const item of readSegment(folder, later)) {
      options.signal?.throwIfAborted()
      if (item.kind === 'line' && item.line.sequence === last.sequence + 1) return true
    }
  }
  return false
}

/**
 * Judges bytes that are no line. A crash left them if the next segment says just that; or, in the last segment, if the head file does
 * not reach beyond.
 *
 * @returns `undefined` if the check goes on in the next segment.
 */
async function judgeRest(
  log: Log,
  progress: Progress,
  { flaw, offset, lineNumber }: FlawedBytes,
  next: number | undefined,
): Promise<AuditVerification | undefined> {
  if (flaw === 'unsupported') return broken(log, progress, 'unsupported')
  const fault = broken(log, progress, flaw === 'unfinished' ? 'cut' : 'changed')
  const { segment } = progress
  const rest = await measureRest(log.folder, segment, offset)
  if (progress.lines === 0 || rest.restBytes > MAX_UNFINISHED_BYTES) return fault
  if (next !== undefined) return isSameRest(await toldRest(log.folder, next), rest) ? undefined : fault
  if (findMissingEnd(log, progress) !== undefined) return fault
  return {
    kind: 'unfinished-end',
    summary: summaryOf(log, progress),
    segment,
    line: lineNumber,
    bytes: rest.restBytes,
  }
}

/** What the first line of a segment tells of an unfinished end of the segment before. */
async function toldRest(folder: LogFolder, segment: number): Promise<Detail | undefined> {
  const line = await readFirstLine(folder, segment)
  return line?.kind === 'segment-opened' && line.detail.reason === 'unfinished' ? line.detail : undefined
}

function isSameRest(told: Detail | undefined, { heldBytes, restBytes, restHash }: SegmentRest): boolean {
  return told?.heldBytes === heldBytes && told.restBytes === restBytes && told.restHash === restHash
}

/** What is missing at the end, by the head file and by the position that was noted elsewhere. */
function findMissingEnd(
  { head, options }: Log,
  { segment, last, isExpectedMet }: Progress,
): AuditFaultKind | undefined {
  if (head.kind === 'missing' && last.sequence > MAX_LINES_BEFORE_HEAD) return 'missing-head'
  if (head.kind === 'found') {
    const named = head.head
    if (named.segment > segment) return 'missing-segment'
    if (named.sequence > last.sequence) return 'cut'
    if (last.sequence - named.sequence > MAX_LINES_BEFORE_HEAD) return 'stale-head'
  }
  const expected = options.expectedHead
  return expected !== undefined && !isExpectedMet && expected.sequence > last.sequence ? 'cut' : undefined
}

function broken(log: Log, progress: Progress, kind: AuditFaultKind): AuditVerification {
  const { segment, lines, last } = progress
  const fault = { kind, segment, line: lines + 1, sequence: last.sequence + 1 }
  return { kind: 'broken', fault, summary: summaryOf(log, progress) }
}

function summaryOf({ options }: Log, { begins, segment, last, tally, isExpectedMet }: Progress): LogSummary {
  return {
    begins,
    last: { segment, ...last },
    tally,
    checkpointsChecked: options.findCheckpointKey !== undefined,
    expectedHead: options.expectedHead === undefined ? 'not-given' : isExpectedMet ? 'met' : 'not-met',
  }
}
