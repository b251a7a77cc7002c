import { createHash } from 'node:crypto'
import { type FileHandle } from 'node:fs/promises'
import { type AuditLine, decodeLine, type LineFlaw, MAX_LINE_BYTES } from '@sealwright/audit'
import { readFailure } from './errors.ts'
import { type LogFolder } from './folder.ts'
import { segmentName } from './names.ts'

/** A line that is whole in itself, or the first bytes that are not; nothing follows those. */
export type SegmentItem =
  | {
      readonly kind: 'line'
      readonly line: AuditLine
      /** 1, 2, … within the segment. */
      readonly lineNumber: number
      /** Where the line ends in the file, its line feed included. */
      readonly endOffset: number
    }
  | FlawedBytes

/** Bytes that are no line. */
export interface FlawedBytes {
  readonly kind: 'flawed'
  /** `unfinished`: the file ends without a line feed. */
  readonly flaw: LineFlaw | 'unfinished'
  readonly lineNumber: number
  /** Where the bytes begin. */
  readonly offset: number
}

const CHUNK_BYTES = 65_536
const LINE_FEED = 10

/**
 * Reads a segment line by line, with at most a line and a chunk in memory. A missing file has no lines.
 *
 * @throws {@link AuditLogError} `AUDIT_LOG_UNREADABLE`.
 */
export async function* readSegment(folder: LogFolder, segment: number): AsyncGenerator<SegmentItem, void> {
  let rest: Uint8Array = new Uint8Array()
  let offset = 0
  let lineNumber = 1
  for await (const chunk of chunksOf(folder, segmentName(segment), 0)) {
    let bytes = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED)) {
      const decoded = decodeLine(bytes.subarray(0, end))
      if (decoded.kind === 'flawed') {
        yield { kind: 'flawed', flaw: decoded.flaw, lineNumber, offset }
        return
      }
      offset += end + 1
      yield { kind: 'line', line: decoded.line, lineNumber, endOffset: offset }
      lineNumber += 1
      bytes = bytes.subarray(end + 1)
    }
    if (bytes.byteLength >= MAX_LINE_BYTES) {
      yield { kind: 'flawed', flaw: 'malformed', lineNumber, offset }
      return
    }
    rest = Uint8Array.from(bytes)
  }
  if (rest.byteLength > 0) yield { kind: 'flawed', flaw: 'unfinished', lineNumber, offset }
}

/** Bytes at the end of a segment that are no lines. */
export interface SegmentRest {
  /** Bytes before them, which are lines. */
  readonly heldBytes: number
  readonly restBytes: number
  /** SHA-256 of the rest, 64 lower-case hex digits. */
  readonly restHash: string
}

/** Measures what stands in a segment from `heldBytes` on. @throws {@link AuditLogError} `AUDIT_LOG_UNREADABLE`. */
export async function measureRest(folder: LogFolder, segment: number, heldBytes: number): Promise<SegmentRest> {
  const hash = createHash('sha256')
  let restBytes = 0
  for await (const chunk of chunksOf(folder, segmentName(segment), heldBytes)) {
    hash.update(chunk)
    restBytes += chunk.byteLength
  }
  return { heldBytes, restBytes, restHash: hash.digest('hex') }
}

/** The first line of a segment, if it is whole. */
export async function readFirstLine(folder: LogFolder, segment: number): Promise<AuditLine | undefined> {
  for await (const item of readSegment(folder, segment)) return item.kind === 'line' ? item.line : undefined
  return undefined
}

/** Each chunk is valid until the next one is asked for. */
async function* chunksOf(folder: LogFolder, name: string, from: number): AsyncGenerator<Uint8Array, void> {
  await using file: FileHandle | undefined = await folder.openForReading(name)
  if (file === undefined) return
  const buffer = new Uint8Array(CHUNK_BYTES)
  for (let position = from; ;) {
    const count = await readInto(file, buffer, position, folder.shown(name))
    if (count === 0) return
    position += count
    yield buffer.subarray(0, count)
  }
}

async function readInto(file: FileHandle, buffer: Uint8Array, position: number, path: string): Promise<number> {
  try {
    return (await file.read(buffer, 0, buffer.byteLength, position)).bytesRead
  } catch (cause) {
    throw readFailure(path, cause)
  }
}
