import { timingSafeEqual } from 'node:crypto'
import { RaftSnapshotError } from './errors.ts'

/** SHA-256 of the two parts that a snapshot names sums of, 32 bytes each. */
export interface RaftSnapshotSums {
  readonly metaJson: Uint8Array
  readonly stateBin: Uint8Array
}

/** As `sha256sum` writes it. */
const LINE = /^(?<hex>[0-9a-f]{64}) {2}(?<name>meta\.json|state\.bin)$/

/**
 * Checks a list of sums: `SHA256SUMS` of a snapshot, or what the seal opens `SHA256SUMS.sealed` to. OpenBao writes the two
 * lines in either order, and not always in the same in both lists.
 *
 * @param text - the list as bytes. Stays the caller's.
 * @param sums - what the parts really have, compared in constant time.
 * @throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_SUMS_MALFORMED`, `RAFT_SNAPSHOT_SUM_MISMATCH`.
 */
export function assertSums(text: Uint8Array, sums: RaftSnapshotSums): void {
  const named = parseSums(text)
  assertSum('meta.json', named.metaJson, sums.metaJson)
  assertSum('state.bin', named.stateBin, sums.stateBin)
}

function parseSums(text: Uint8Array): RaftSnapshotSums {
  const lines = Buffer.from(text).toString('latin1').split('\n')
  const sums = new Map(lines.slice(0, -1).map(parseLine))
  const metaJson = sums.get('meta.json')
  const stateBin = sums.get('state.bin')
  // Two different names out of three parts, the last of them empty: two lines, each with its end.
  if (lines.length !== 3 || lines.at(-1) !== '' || metaJson === undefined || stateBin === undefined) {
    throw malformed('it has not one line for meta.json and one for state.bin')
  }
  return { metaJson, stateBin }
}

function parseLine(line: string): readonly [name: string, sum: Uint8Array] {
  const { hex, name } = LINE.exec(line)?.groups ?? {}
  if (hex === undefined || name === undefined) throw malformed('a line is not a sum of one of them')
  return [name, Uint8Array.from(Buffer.from(hex, 'hex'))]
}

function assertSum(part: string, named: Uint8Array, actual: Uint8Array): void {
  if (timingSafeEqual(named, actual)) return
  throw new RaftSnapshotError(
    'RAFT_SNAPSHOT_SUM_MISMATCH',
    `${part} is not what the snapshot's sums were taken of: it was changed or damaged; use another copy`,
  )
}

function malformed(why: string): RaftSnapshotError {
  return new RaftSnapshotError('RAFT_SNAPSHOT_SUMS_MALFORMED', `the list of sums is not what OpenBao writes: ${why}`)
}
