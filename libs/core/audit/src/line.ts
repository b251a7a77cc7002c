import { type ChainPosition, hashOfLine } from './chain.ts'
import { type CheckedEvent, clip, type Detail, encodeDetail, encodeText, findFlaw } from './detail.ts'
import { MAX_LINE_BYTES, MAX_SEQUENCE, MAX_TEXT_UNITS } from './limits.ts'

const FORMAT_VERSION = 1
const KIND = /^[a-z][a-z0-9-]{0,39}$/
const HASH = /^[0-9a-f]{64}$/
/** Length of a time such as `2025-11-22T11:14:00.123Z`. */
const TIME_LENGTH = 24
const HASH_FIELD = ',"hash":"'
const LINE_END = '"}'
/** The hash and what stands around it, at the end of each line. */
const TAIL_LENGTH = HASH_FIELD.length + 64 + LINE_END.length

/** One line of the log. */
export interface AuditLine extends ChainPosition {
  /** Hash of the line before, 64 lower-case hex digits; zeros in the first line of all. */
  readonly previousHash: string
  /** Milliseconds since 1970, by the clock of the node. */
  readonly timeMs: number
  /** Name of the node that wrote it. */
  readonly node: string
  readonly kind: string
  readonly detail: Detail
}

/** When and where something happened. */
export interface Occasion {
  /** Milliseconds since 1970, whole, in the years 0 to 9999. */
  readonly timeMs: number
  readonly node: string
}

/** A line as it goes into the file, and where the chain then stands. */
export interface EncodedLine extends ChainPosition {
  /** With its line feed; printable ASCII otherwise. */
  readonly text: string
}

/** What is wrong with bytes that should be a line. */
export type LineFlaw =
  | 'malformed' // not the one encoding of a line
  | 'hash' // a line with another hash than its own
  | 'unsupported' // a version that a newer program may know

export type DecodedLine =
  { readonly kind: 'line'; readonly line: AuditLine } | { readonly kind: 'flawed'; readonly flaw: LineFlaw }

/** The line for an event behind `before`. */
export function encodeEvent({ kind, detail }: CheckedEvent, before: ChainPosition, occasion: Occasion): EncodedLine {
  return finishLine(encodeStart(kind, before, occasion) + encodeDetail(detail), before)
}

/** A line up to its details. */
export function encodeStart(kind: string, before: ChainPosition, { timeMs, node }: Occasion): string {
  const time = new Date(timeMs).toISOString()
  return (
    `{"v":${FORMAT_VERSION},"seq":${before.sequence + 1},"prev":"${before.hash}","time":"${time}",` +
    `"node":${encodeText(clip(node))},"kind":"${kind}","detail":`
  )
}

/** Puts the hash behind the rest of a line. */
export function finishLine(body: string, before: ChainPosition): EncodedLine {
  const hash = hashOfLine(body)
  return { text: `${body}${HASH_FIELD}${hash}${LINE_END}\n`, sequence: before.sequence + 1, hash }
}

/**
 * Reads one line, and checks its hash. Where it stands in the chain, and whether a checkpoint holds, is for others to check.
 *
 * @param bytes - without the line feed.
 * @see docs/formats/audit-log.md §2
 */
export function decodeLine(bytes: Uint8Array): DecodedLine {
  if (bytes.byteLength >= MAX_LINE_BYTES) return flawed('malformed')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const parsed = parseObject(text)
  if (parsed === undefined) return flawed('malformed')
  const { v: version, seq, prev, time, node, kind, detail, hash } = parsed
  if (version !== FORMAT_VERSION) return flawed(Number.isSafeInteger(version) ? 'unsupported' : 'malformed')
  const timeMs = typeof time === 'string' && time.length === TIME_LENGTH ? Date.parse(time) : Number.NaN
  if (
    typeof seq !== 'number' ||
    !Number.isSafeInteger(seq) ||
    seq < 1 ||
    seq > MAX_SEQUENCE ||
    typeof prev !== 'string' ||
    !HASH.test(prev) ||
    !Number.isFinite(timeMs) ||
    typeof node !== 'string' ||
    node.length > MAX_TEXT_UNITS ||
    typeof kind !== 'string' ||
    !KIND.test(kind) ||
    !isObject(detail) ||
    findFlaw(kind, detail as Detail) !== undefined
  ) {
    return flawed('malformed')
  }
  const checked = detail as Detail // `findFlaw` has looked at each value
  const before = { sequence: seq - 1, hash: prev }
  const body = encodeStart(kind, before, { timeMs, node }) + encodeDetail(checked)
  const own = finishLine(body, before)
  if (text !== own.text.slice(0, -1)) {
    const isOtherHash = text.slice(0, -TAIL_LENGTH) === body && typeof hash === 'string' && HASH.test(hash)
    return flawed(isOtherHash ? 'hash' : 'malformed')
  }
  return {
    kind: 'line',
    line: { sequence: seq, hash: own.hash, previousHash: prev, timeMs, node, kind, detail: checked },
  }
}

function flawed(flaw: LineFlaw): DecodedLine {
  return { kind: 'flawed', flaw }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isObject(parsed) ? parsed : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
