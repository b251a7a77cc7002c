import {
  type ChainPosition,
  encodeCheckpoint,
  type EncodedLine,
  encodeEvent,
  MAX_LINE_BYTES,
  MAX_LINES_BEFORE_HEAD,
  MAX_UNFINISHED_BYTES,
} from '@sealwright/audit'
import { type WaitingEntry, type WaitingRoom } from './waiting-room.ts'

/** The first line of a segment may come on top. */
const MAX_BATCH_LINES = MAX_LINES_BEFORE_HEAD - 1
const MAX_BATCH_BYTES = MAX_UNFINISHED_BYTES - MAX_LINE_BYTES

/** The lines of the entries that go to the disk together: as many as a crash may cut short. */
export function encodeBatch(waiting: WaitingRoom, before: ChainPosition, node: string): readonly EncodedLine[] {
  const lines: EncodedLine[] = []
  let position = before
  let bytes = 0
  for (const entry of waiting.first(MAX_BATCH_LINES)) {
    if (bytes >= MAX_BATCH_BYTES) break
    const line = encodeEntry(entry, position, node)
    lines.push(line)
    position = line
    bytes += line.text.length
  }
  return lines
}

function encodeEntry(entry: WaitingEntry, before: ChainPosition, node: string): EncodedLine {
  const occasion = { timeMs: entry.timeMs, node }
  switch (entry.kind) {
    case 'event':
      return encodeEvent(entry.event, before, occasion)
    case 'checkpoint':
      return encodeCheckpoint(entry.checkpointKey, before, occasion)
  }
}
