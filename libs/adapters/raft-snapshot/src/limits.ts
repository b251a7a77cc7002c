/**
 * Most bytes that OpenBao 2.7.2 takes back of a part that is not `state.bin`. A restore of one more ends with 500, `read max
 * specified bytes (8192) without EOF`, by `snapshot` and by `snapshot-force`.
 */
export const MAX_RESTORABLE_PART_BYTES = 8_191

/** Most bytes that we read of such a part. A seal may put more into `SHA256SUMS.sealed` than can be restored. */
export const MAX_SMALL_PART_BYTES = 1_048_576

/** Longest `state.bin` unless the caller says otherwise: 64 GiB. Memory does not grow with it, only time does. */
export const DEFAULT_MAX_STATE_BYTES = 64 * 1_024 ** 3

/** Longest value that is kept for the caller unless it says otherwise: what OpenBao's raft storage takes by default. */
export const DEFAULT_MAX_VALUE_BYTES = 1_048_576

/** Longest key of the database that OpenBao's raft storage lies in (bbolt, `MaxKeySize`). */
export const MAX_KEY_BYTES = 32_768

/** Longest entry that OpenBao's restore takes (`math.MaxInt32`). */
export const MAX_ENTRY_BYTES = 2_147_483_647

/** What an archive may hold beside `state.bin`: the other parts, headers and padding. */
export const MAX_OVERHEAD_BYTES = 4 * MAX_SMALL_PART_BYTES
