import {
  CHAIN_START,
  type ChainPosition,
  MAX_LINES_BEFORE_HEAD,
  MAX_UNFINISHED_BYTES,
  succession,
} from '@sealwright/audit'
import { type LogFolder } from './folder.ts'
import { type FoundHead, readHead } from './head-file.ts'
import { segmentsAmong } from './names.ts'
import { measureRest, readSegment, type SegmentRest } from './read-segment.ts'

/**
 * How a log ends.
 * - `whole`: with a line; the next one may follow it in the same file;
 * - `unfinished`: with bytes that a crash left behind a line. The head file does not name them;
 * - `broken`: something else than a crash was at work. `last` is the latest line that is known of.
 */
export type LogTail =
  | { readonly kind: 'empty' }
  | { readonly kind: 'whole'; readonly segment: number; readonly last: ChainPosition; readonly sizeBytes: number }
  | {
      readonly kind: 'unfinished' | 'broken'
      readonly segment: number
      readonly last: ChainPosition
      /** Of the last segment; `undefined` if there is none. */
      readonly rest: SegmentRest | undefined
    }

/**
 * Looks at the end of a log: at its last segment and at the head file. Reads only.
 *
 * @throws {@link AuditLogError} `AUDIT_LOG_UNREADABLE`, `AUDIT_LOG_FOLDER_UNUSABLE`.
 */
export async function findTail(folder: LogFolder): Promise<LogTail> {
  const found = await readHead(folder)
  const segment = segmentsAmong(await folder.list()).at(-1)
  if (segment === undefined) {
    if (found.kind === 'missing') return { kind: 'empty' }
    return { kind: 'broken', segment: headSegment(found), last: laterOf(CHAIN_START, found), rest: undefined }
  }
  const walked = await walk(folder, segment, found)
  const rest = await measureRest(folder, segment, walked.heldBytes)
  if (walked.holds && fitsHead(segment, walked, found) && rest.restBytes <= MAX_UNFINISHED_BYTES) {
    const { last } = walked
    if (rest.restBytes === 0) return { kind: 'whole', segment, last, sizeBytes: rest.heldBytes }
    return { kind: 'unfinished', segment, last, rest }
  }
  return { kind: 'broken', segment: Math.max(segment, headSegment(found)), last: laterOf(walked.last, found), rest }
}

interface Walk {
  readonly first: ChainPosition | undefined
  readonly last: ChainPosition
  readonly heldBytes: number
  /** Whether nothing but an end that was cut short keeps lines from following one another. */
  readonly holds: boolean
  /** Whether the line that the head file names was met here. */
  readonly isHeadMet: boolean
}

async function walk(folder: LogFolder, segment: number, found: FoundHead): Promise<Walk> {
  let first: ChainPosition | undefined
  let last = CHAIN_START
  let heldBytes = 0
  let isHeadMet = false
  for await (const item of readSegment(folder, segment)) {
    if (item.kind === 'flawed') {
      const isCutShort = first !== undefined && item.flaw !== 'unsupported'
      return { first, last, heldBytes, holds: isCutShort, isHeadMet }
    }
    const { line, endOffset } = item
    const fits =
      first === undefined
        ? line.kind === 'segment-opened' && line.detail.segment === segment
        : succession(last, line) === 'follows'
    if (!fits) return { first, last, heldBytes, holds: false, isHeadMet }
    last = { sequence: line.sequence, hash: line.hash }
    first ??= last
    heldBytes = endOffset
    isHeadMet ||= found.kind === 'found' && isHead(found, segment, last)
  }
  return { first, last, heldBytes, holds: first !== undefined, isHeadMet }
}

function isHead({ head }: FoundHead & { readonly kind: 'found' }, segment: number, line: ChainPosition): boolean {
  return head.segment === segment && head.sequence === line.sequence && head.hash === line.hash
}

/** Whether the head file is what a crash at any moment may leave. */
function fitsHead(segment: number, { first, last, isHeadMet }: Walk, found: FoundHead): boolean {
  if (first === undefined) return false
  switch (found.kind) {
    case 'malformed':
      return false
    case 'missing':
      return last.sequence <= MAX_LINES_BEFORE_HEAD
    case 'found': {
      const { head } = found
      const isBefore = head.segment < segment && head.sequence < first.sequence
      return (isHeadMet || isBefore) && last.sequence - head.sequence <= MAX_LINES_BEFORE_HEAD
    }
  }
}

function headSegment(found: FoundHead): number {
  return found.kind === 'found' ? found.head.segment : 0
}

function laterOf(last: ChainPosition, found: FoundHead): ChainPosition {
  if (found.kind !== 'found' || found.head.sequence <= last.sequence) return last
  return { sequence: found.head.sequence, hash: found.head.hash }
}
