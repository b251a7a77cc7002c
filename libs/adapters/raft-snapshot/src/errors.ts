/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type RaftSnapshotErrorCode =
  | 'RAFT_SNAPSHOT_INPUT_FAILED' // whoever delivers the bytes failed, a download say
  | 'RAFT_SNAPSHOT_CANCELLED' // the caller's signal fired
  | 'RAFT_SNAPSHOT_TRUNCATED' // the bytes end before the gzip stream does
  | 'RAFT_SNAPSHOT_NOT_GZIP' // begins as no gzip file does
  | 'RAFT_SNAPSHOT_GZIP_DAMAGED' // the gzip stream contradicts itself, or something follows it
  | 'RAFT_SNAPSHOT_NOT_TAR' // what is compressed is no tar archive, or not a whole one
  | 'RAFT_SNAPSHOT_PART_MISSING' // the archive ends without one of its four parts
  | 'RAFT_SNAPSHOT_PART_UNKNOWN' // a member that OpenBao never writes
  | 'RAFT_SNAPSHOT_PART_REPEATED' // a part for the second time
  | 'RAFT_SNAPSHOT_PART_ORDER' // a part before its turn
  | 'RAFT_SNAPSHOT_META_MALFORMED' // meta.json is not what OpenBao writes, or of a version that we do not know
  | 'RAFT_SNAPSHOT_SIZE_MISMATCH' // state.bin has not the length that meta.json names
  | 'RAFT_SNAPSHOT_SUMS_MALFORMED' // not the two lines of a SHA256SUMS
  | 'RAFT_SNAPSHOT_SUM_MISMATCH' // meta.json or state.bin is not what its sum was taken of
  | 'RAFT_SNAPSHOT_ENTRY_MALFORMED' // state.bin holds what OpenBao never writes
  | 'RAFT_SNAPSHOT_TOO_LARGE' // over a limit of ours or of the caller
  | 'RAFT_SNAPSHOT_SEAL_ENTRY_MISSING' // an entry of the seal that every OpenBao has is not there
  | 'RAFT_SNAPSHOT_SEAL_CONFIG_MALFORMED' // the seal's configuration is not the JSON that OpenBao writes

/** A snapshot that cannot be trusted or not be read. The message says what to do where something can be done. */
export class RaftSnapshotError extends Error {
  override readonly name = 'RaftSnapshotError'
  readonly code: RaftSnapshotErrorCode

  constructor(code: RaftSnapshotErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
