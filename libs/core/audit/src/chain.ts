import { createHash } from 'node:crypto'

/** Where a chain stands: at its last line. */
export interface ChainPosition {
  /** Sequence number of the last line; 0 before the first. */
  readonly sequence: number
  /** Its hash, 64 lower-case hex digits. */
  readonly hash: string
}

const LABEL_LINE = 'sealwright audit-log v1 line'

/** Before the first line. */
export const CHAIN_START: ChainPosition = { sequence: 0, hash: '0'.repeat(64) }

/** The hash of a line, from all of it that stands before its hash. */
export function hashOfLine(body: string): string {
  return createHash('sha256').update(labelled(LABEL_LINE, body)).digest('hex')
}

/** A label and a text, each behind its length in 32 bits: no two pairs give the same bytes. */
export function labelled(label: string, text: string): Uint8Array {
  const parts = [label, text].flatMap(part => {
    const bytes = Buffer.from(part, 'latin1')
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.byteLength)
    return [length, bytes]
  })
  return Buffer.concat(parts)
}

/** How a line stands to the chain before it. */
export type Succession =
  | 'follows'
  | 'other-past' // the right number, but after another line than the one before it
  | 'too-late' // a higher number: lines are missing, or come later
  | 'too-early' // a number that was there already

/** Compares a line with the position before it. */
export function succession(
  before: ChainPosition,
  line: { readonly sequence: number; readonly previousHash: string },
): Succession {
  if (line.sequence > before.sequence + 1) return 'too-late'
  if (line.sequence <= before.sequence) return 'too-early'
  return line.previousHash === before.hash ? 'follows' : 'other-past'
}
