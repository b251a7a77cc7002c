import { type FileHandle, rename } from 'node:fs/promises'
import {
  CHAIN_START,
  type ChainPosition,
  checkEvent,
  encodeEvent,
  type EncodedLine,
  type Occasion,
} from '@sealwright/audit'
import { writeFailure } from './errors.ts'
import { findTail, type LogTail } from './find-tail.ts'
import { type LogFolder } from './folder.ts'
import { type HeadStep, writeHead } from './head-file.ts'
import { SEGMENT_TEMP_NAME, segmentName } from './names.ts'
import { type SegmentRest } from './read-segment.ts'

/** How far a write has come, for tests that kill at each of them. */
export type WriteStep = HeadStep | 'segment-written' | 'segment-renamed' | 'lines-written' | 'lines-synced'

export const WRITE_STEPS = [
  'segment-written',
  'segment-renamed',
  'lines-written',
  'lines-synced',
  'head-written',
  'head-renamed',
] as const satisfies readonly WriteStep[]

/** Writes at the end of a log. After a failure it must be closed, and another one opened. */
export interface LogWriter extends AsyncDisposable {
  /** The last line that is on the disk. */
  position(): ChainPosition
  /** Size of the segment that is written to. */
  sizeBytes(): number
  /** Puts lines on the disk, then the head file. They must follow {@link LogWriter.position}. */
  write(lines: readonly EncodedLine[]): Promise<void>
  /** Goes on in a new segment. */
  rotate(occasion: Occasion): Promise<void>
}

/** A writer, and what it found at the end of the log. */
export interface OpenedWriter {
  readonly writer: LogWriter
  readonly tail: LogTail
}

/**
 * Opens the end of a log for writing. Whatever is found there stays as it is: behind anything but a whole line a new segment begins,
 * which says what was found.
 *
 * @throws {@link AuditLogError} `AUDIT_LOG_UNREADABLE`, `AUDIT_LOG_WRITE_FAILED`, `AUDIT_LOG_FOLDER_UNUSABLE`.
 */
export async function openWriter(
  folder: LogFolder,
  occasion: Occasion,
  onStep: (step: WriteStep) => void,
): Promise<OpenedWriter> {
  const tail = await findTail(folder)
  const opened = await openTail(folder, tail, occasion, onStep)
  try {
    // Lines of a killed process may be in the kernel's cache only, and the head file may be behind.
    await syncLines(opened.file, folder.shown(segmentName(opened.segment)))
    await writeHead(folder, { segment: opened.segment, ...opened.last }, onStep)
  } catch (cause) {
    await opened.file.close()
    throw cause
  }
  return { writer: logWriter(folder, opened, onStep), tail }
}

interface OpenSegment {
  readonly segment: number
  readonly file: FileHandle
  readonly last: ChainPosition
  readonly sizeBytes: number
}

async function openTail(
  folder: LogFolder,
  tail: LogTail,
  occasion: Occasion,
  onStep: (step: WriteStep) => void,
): Promise<OpenSegment> {
  switch (tail.kind) {
    case 'empty':
      return await createSegment(folder, { segment: 1, reason: 'first', last: CHAIN_START }, occasion, onStep)
    case 'whole': {
      const { segment, last, sizeBytes } = tail
      return { segment, last, sizeBytes, file: await folder.openForWriting(segmentName(segment), 'append') }
    }
    case 'unfinished':
    case 'broken': {
      const { segment, last, rest } = tail
      return await createSegment(folder, { segment: segment + 1, reason: tail.kind, last, rest }, occasion, onStep)
    }
  }
}

/** Makes a segment that has its first line from the moment on that it has its name. */
async function createSegment(
  folder: LogFolder,
  opening: {
    readonly segment: number
    readonly reason: 'first' | 'size' | 'unfinished' | 'broken'
    readonly last: ChainPosition
    readonly rest?: SegmentRest | undefined
  },
  occasion: Occasion,
  onStep: (step: WriteStep) => void,
): Promise<OpenSegment> {
  const { segment, reason, last, rest } = opening
  const event = checkEvent({ kind: 'segment-opened', segment, reason, ...rest })
  const { text, sequence, hash } = encodeEvent(event, last, occasion)
  {
    await using temp = await folder.openForWriting(SEGMENT_TEMP_NAME, 'replace')
    try {
      await temp.writeFile(text)
      await temp.sync()
      onStep('segment-written')
      await rename(folder.at(SEGMENT_TEMP_NAME), folder.at(segmentName(segment)))
      onStep('segment-renamed')
    } catch (cause) {
      throw writeFailure(folder.shown(segmentName(segment)), cause)
    }
  }
  await folder.sync()
  const file = await folder.openForWriting(segmentName(segment), 'append')
  return { segment, file, last: { sequence, hash }, sizeBytes: text.length }
}

function logWriter(folder: LogFolder, opened: OpenSegment, onStep: (step: WriteStep) => void): LogWriter {
  let current = opened
  return {
    position: () => current.last,
    sizeBytes: () => current.sizeBytes,
    async write(lines) {
      const end = lines.at(-1)
      if (end === undefined) return
      const text = lines.map(line => line.text).join('')
      const { file, segment, sizeBytes } = current
      try {
        await file.appendFile(text)
      } catch (cause) {
        throw writeFailure(folder.shown(segmentName(segment)), cause)
      }
      onStep('lines-written')
      await syncLines(file, folder.shown(segmentName(segment)))
      onStep('lines-synced')
      const last = { sequence: end.sequence, hash: end.hash }
      await writeHead(folder, { segment, ...last }, onStep)
      current = { file, segment, last, sizeBytes: sizeBytes + text.length }
    },
    async rotate(occasion) {
      const { file, segment, last } = current
      current = await createSegment(folder, { segment: segment + 1, reason: 'size', last }, occasion, onStep)
      await file.close()
    },
    [Symbol.asyncDispose]: () => current.file.close(),
  }
}

async function syncLines(file: FileHandle, path: string): Promise<void> {
  try {
    await file.datasync()
  } catch (cause) {
    throw writeFailure(path, cause)
  }
}
