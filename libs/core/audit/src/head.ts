import { type ChainPosition } from './chain.ts'

/** Where the log ended when the head file was written. */
export interface Head extends ChainPosition {
  /** Number of the segment with that line. */
  readonly segment: number
}

/** Longest head file, in bytes. */
export const MAX_HEAD_BYTES = 256

const HEAD = /^\{"v":1,"segment":([1-9]\d{0,6}),"seq":([1-9]\d{0,14}),"hash":"([0-9a-f]{64})"\}\n$/

/** The content of the head file: one line. */
export function encodeHead({ segment, sequence, hash }: Head): string {
  return `{"v":1,"segment":${segment},"seq":${sequence},"hash":"${hash}"}\n`
}

/** Reads the content of a head file; `undefined` if it is not the one encoding of a head. */
export function decodeHead(bytes: Uint8Array): Head | undefined {
  const match = HEAD.exec(Buffer.from(bytes).toString('latin1'))
  if (match === null) return undefined
  const [, segment, sequence, hash = ''] = match
  return { segment: Number(segment), sequence: Number(sequence), hash }
}
