import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { RaftSnapshotError, type RaftSnapshotErrorCode } from '../errors.ts'
import { readRaftSnapshot } from '../read-raft-snapshot.ts'

/** A signal that never fires. */
export const signal: AbortSignal = new AbortController().signal

const VECTORS = join(import.meta.dirname, '../../../../../vectors/raft-snapshot')

/** A snapshot of a real server, from `vectors/raft-snapshot/`. */
export function realSnapshot(file: string): Buffer {
  return readFileSync(join(VECTORS, file))
}

/** The bytes in pieces of this length; the last may be shorter. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = bytes.byteLength): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += pieceBytes) {
    yield await Promise.resolve(bytes.subarray(offset, offset + pieceBytes))
  }
}

/** The code that a reading fails with, or `undefined` if it does not fail. */
export async function codeOf(reading: Promise<unknown>): Promise<RaftSnapshotErrorCode | undefined> {
  try {
    await reading
    return undefined
  } catch (error) {
    if (error instanceof RaftSnapshotError) return error.code
    throw new Error(`no RaftSnapshotError: ${inspect(error)}`, { cause: error })
  }
}

/** What becomes of these bytes as a snapshot. */
export async function outcome(bytes: Uint8Array): Promise<RaftSnapshotErrorCode | undefined> {
  return await codeOf(readRaftSnapshot(inPieces(bytes), { signal }))
}

/** Readings at the same time: each waits for a thread of zlib most of its time. */
const AT_ONCE = 16

export interface Changed {
  /** Offset of the change. */
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What becomes of many changed snapshots: how often each code, and those that were taken. */
export async function countOutcomes(
  changed: Iterable<Changed>,
): Promise<{ readonly codes: ReadonlyMap<string, number>; readonly accepted: readonly Changed[] }> {
  const codes = new Map<string, number>()
  const accepted: Changed[] = []
  const iterator = changed[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
      const code = await outcome(step.value.bytes)
      if (code === undefined) accepted.push(step.value)
      else codes.set(code, (codes.get(code) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return { codes, accepted }
}
