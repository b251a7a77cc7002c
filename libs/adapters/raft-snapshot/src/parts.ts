import { createTarDecoder, type ParsedTarEntry } from 'modern-tar'
import { RaftSnapshotError } from './errors.ts'
import { MAX_SMALL_PART_BYTES } from './limits.ts'

/** The members of the archive, in the order in which OpenBao writes them. */
export const RAFT_SNAPSHOT_PARTS = ['meta.json', 'state.bin', 'SHA256SUMS', 'SHA256SUMS.sealed'] as const

export type RaftSnapshotPart = (typeof RAFT_SNAPSHOT_PARTS)[number]

export interface OpenPart {
  readonly part: RaftSnapshotPart
  /** As the archive names it. */
  readonly byteLength: number
  /** To be read to its end before the next part. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/**
 * The four parts of an archive: each once, in their order, nothing else, and the end of the archive.
 *
 * @throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_NOT_TAR`, `RAFT_SNAPSHOT_PART_UNKNOWN`, `RAFT_SNAPSHOT_PART_REPEATED`,
 *   `RAFT_SNAPSHOT_PART_ORDER`, `RAFT_SNAPSHOT_PART_MISSING`; and what `archive` throws.
 */
export async function* readParts(archive: AsyncIterable<Uint8Array>): AsyncGenerator<OpenPart> {
  const members = ReadableStream.from(archive).pipeThrough(createTarDecoder({ strict: true }))
  let seen = 0
  for await (const { header, body } of explained(members)) {
    const part = partOf(header)
    assertTurn(part, seen)
    seen += 1
    yield { part, byteLength: header.size, chunks: explained(body) }
  }
  const missing = RAFT_SNAPSHOT_PARTS[seen]
  if (missing !== undefined) {
    throw new RaftSnapshotError('RAFT_SNAPSHOT_PART_MISSING', `${missing} is missing in the snapshot: use another copy`)
  }
}

/**
 * A whole part in one array.
 *
 * @throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_TOO_LARGE` before anything was read.
 */
export async function readSmallPart({ part, byteLength, chunks }: OpenPart): Promise<Uint8Array> {
  if (byteLength > MAX_SMALL_PART_BYTES) {
    throw new RaftSnapshotError(
      'RAFT_SNAPSHOT_TOO_LARGE',
      `${part} has ${byteLength} bytes, at most ${MAX_SMALL_PART_BYTES} are read`,
    )
  }
  const bytes = new Uint8Array(byteLength)
  let offset = 0
  for await (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}

function partOf({ name, type }: ParsedTarEntry['header']): RaftSnapshotPart {
  const part = type === 'file' ? RAFT_SNAPSHOT_PARTS.find(known => known === name) : undefined
  if (part !== undefined) return part
  throw new RaftSnapshotError(
    'RAFT_SNAPSHOT_PART_UNKNOWN',
    `a member named ${JSON.stringify(name.slice(0, SHOWN_NAME_LENGTH))} (${type ?? 'of no type'}) is in no snapshot of OpenBao`,
  )
}

const SHOWN_NAME_LENGTH = 60

function assertTurn(part: RaftSnapshotPart, seen: number): void {
  const expected = RAFT_SNAPSHOT_PARTS[seen]
  if (part === expected) return
  if (RAFT_SNAPSHOT_PARTS.indexOf(part) < seen) {
    throw new RaftSnapshotError('RAFT_SNAPSHOT_PART_REPEATED', `${part} is in the snapshot more than once`)
  }
  throw new RaftSnapshotError(
    'RAFT_SNAPSHOT_PART_ORDER',
    `${part} stands in the snapshot where ${expected ?? 'its end'} should`,
  )
}

/** The items of a stream of the tar library, whose own errors have no codes. */
async function* explained<Item>(stream: ReadableStream<Item>): AsyncGenerator<Item> {
  try {
    yield* stream
  } catch (cause) {
    if (cause instanceof RaftSnapshotError) throw cause
    throw new RaftSnapshotError('RAFT_SNAPSHOT_NOT_TAR', 'what the snapshot holds is no whole tar archive', { cause })
  }
}
