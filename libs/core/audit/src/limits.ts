/** Longest line with its line feed, in bytes. */
export const MAX_LINE_BYTES = 16_384
/** Longest text in a line, in UTF-16 code units. */
export const MAX_TEXT_UNITS = 128
/** Most fields in the details of an event. */
export const MAX_DETAIL_FIELDS = 16
/** Most lines that may be on the disk while the head file does not name them yet: one batch, and the first line of a segment. */
export const MAX_LINES_BEFORE_HEAD = 257
/** Most bytes that a crash may leave unfinished behind the last line that the head file names. */
export const MAX_UNFINISHED_BYTES = 1_048_576
/** Highest number of a segment. */
export const MAX_SEGMENT = 9_999_999
/** Highest sequence number of a line. */
export const MAX_SEQUENCE = 999_999_999_999_999
