import { MAX_SEGMENT } from '@sealwright/audit'

/** The head file: where the log ended when it was last written. */
export const HEAD_NAME = 'head'
/** The head file while it is written. */
export const HEAD_TEMP_NAME = 'head.tmp'
/** A segment while its first line is written. */
export const SEGMENT_TEMP_NAME = 'segment.tmp'

const SEGMENT_NAME = /^segment-(\d{8})\.jsonl$/
const SEGMENT_DIGITS = 8

/** File name of a segment. */
export function segmentName(segment: number): string {
  return `segment-${String(segment).padStart(SEGMENT_DIGITS, '0')}.jsonl`
}

/** The numbers of the segments among the names of a folder, ascending. */
export function segmentsAmong(names: readonly string[]): readonly number[] {
  return names
    .flatMap(name => SEGMENT_NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .filter(segment => segment > 0 && segment <= MAX_SEGMENT)
    .sort((a, b) => a - b)
}
