import { createHash } from 'node:crypto'
import { entryReader, type RaftEntry, type WantsEntry } from './entries.ts'
import { RaftSnapshotError } from './errors.ts'
import { inflate, type SnapshotFile } from './inflate.ts'
import {
  DEFAULT_MAX_STATE_BYTES,
  DEFAULT_MAX_VALUE_BYTES,
  MAX_OVERHEAD_BYTES,
  MAX_RESTORABLE_PART_BYTES,
} from './limits.ts'
import { parseMetadata, type RaftSnapshotMetadata } from './metadata.ts'
import { type OpenPart, type RaftSnapshotPart, readParts, readSmallPart } from './parts.ts'
import { assertSums, type RaftSnapshotSums } from './sums.ts'

/** A snapshot that was read to its end and is whole. */
export interface RaftSnapshot {
  readonly file: SnapshotFile
  readonly metadata: RaftSnapshotMetadata
  readonly entryCount: number
  /** What the parts really have; `SHA256SUMS` says the same. */
  readonly sums: RaftSnapshotSums
  /** `SHA256SUMS.sealed` as it stands there: a blob of the seal, unchecked. What it opens to is for `assertSums`. */
  readonly sealedSums: Uint8Array
  /** Parts that are longer than OpenBao takes back. With one of them the snapshot can be read, and not be restored as it is. */
  readonly partsTooLargeToRestore: readonly RaftSnapshotPart[]
}

export interface ReadRaftSnapshotOptions {
  readonly signal: AbortSignal
  /** Which values to keep. Left out: none. What it throws ends the reading and passes through. */
  readonly wants?: WantsEntry
  /**
   * Gets each wanted entry, one after the other. NOT CHECKED YET: the sums come last. Only once the promise of
   * {@link readRaftSnapshot} resolves, what came is what OpenBao wrote. What it throws ends the reading and passes through.
   */
  readonly onEntry?: (entry: RaftEntry) => void | Promise<void>
  /** Longest `state.bin`. Default 64 GiB. */
  readonly maxStateBytes?: number
  /** Longest wanted value. Default 1 MiB. */
  readonly maxValueBytes?: number
}

/**
 * Reads a raft snapshot of OpenBao from its first byte to its last and checks it, in memory that does not grow with it.
 *
 * It proves that the file is whole and that nothing in it was changed by accident. Only the seal can prove that nobody changed it on
 * purpose: open `sealedSums` and give what comes out to `assertSums`.
 *
 * @param input - the file or the body of the answer, in pieces of any size. Read once, and closed in any case.
 * @throws {@link RaftSnapshotError} any of its codes but those of the seal.
 */
export async function readRaftSnapshot(
  input: AsyncIterable<Uint8Array>,
  options: ReadRaftSnapshotOptions,
): Promise<RaftSnapshot> {
  const { signal, maxStateBytes = DEFAULT_MAX_STATE_BYTES } = options
  const left = new AbortController()
  const { chunks, file } = inflate(input, {
    signal: AbortSignal.any([signal, left.signal]),
    maxBytes: maxStateBytes + MAX_OVERHEAD_BYTES,
  })
  try {
    return await readArchive(chunks, file, { ...options, maxStateBytes })
  } finally {
    // However we leave, an input that hangs is let go.
    left.abort('read to its end, or no further')
  }
}

async function readArchive(
  archive: AsyncIterable<Uint8Array>,
  file: () => SnapshotFile,
  options: ReadRaftSnapshotOptions & { readonly maxStateBytes: number },
): Promise<RaftSnapshot> {
  const partsTooLargeToRestore: RaftSnapshotPart[] = []
  let metadata: RaftSnapshotMetadata | undefined
  let metaJson: Uint8Array | undefined
  let state: State | undefined
  let sealedSums: Uint8Array | undefined

  for await (const open of readParts(archive)) {
    if (open.part !== 'state.bin' && open.byteLength > MAX_RESTORABLE_PART_BYTES) partsTooLargeToRestore.push(open.part)
    switch (open.part) {
      case 'meta.json': {
        const bytes = await readSmallPart(open)
        metaJson = createHash('sha256').update(bytes).digest()
        metadata = parseMetadata(bytes)
        break
      }
      case 'state.bin':
        assertSize(open.byteLength, metadata?.stateBytes, options.maxStateBytes)
        state = await readState(open, options)
        break
      case 'SHA256SUMS':
        if (metaJson === undefined || state === undefined) throw outOfTurn()
        assertSums(await readSmallPart(open), { metaJson, stateBin: state.sha256 })
        break
      case 'SHA256SUMS.sealed':
        sealedSums = await readSmallPart(open)
        break
    }
  }
  if (metadata === undefined || metaJson === undefined || state === undefined || sealedSums === undefined) {
    throw outOfTurn()
  }
  const sums = { metaJson, stateBin: state.sha256 }
  return { file: file(), metadata, entryCount: state.entryCount, sums, sealedSums, partsTooLargeToRestore }
}

interface State {
  readonly entryCount: number
  readonly sha256: Uint8Array
}

async function readState({ chunks }: OpenPart, options: ReadRaftSnapshotOptions): Promise<State> {
  const { wants = () => false, onEntry, maxValueBytes = DEFAULT_MAX_VALUE_BYTES } = options
  const entries = entryReader({ wants, maxValueBytes })
  const hash = createHash('sha256')
  for await (const chunk of chunks) {
    hash.update(chunk)
    for (const entry of entries.push(chunk)) await onEntry?.(entry)
  }
  return { entryCount: entries.end(), sha256: hash.digest() }
}

function assertSize(byteLength: number, namedBytes: number | undefined, maxStateBytes: number): void {
  if (byteLength !== namedBytes) {
    throw new RaftSnapshotError(
      'RAFT_SNAPSHOT_SIZE_MISMATCH',
      `state.bin has ${byteLength} bytes, meta.json says ${namedBytes ?? 'nothing'}: use another copy`,
    )
  }
  if (byteLength > maxStateBytes) {
    throw new RaftSnapshotError(
      'RAFT_SNAPSHOT_TOO_LARGE',
      `state.bin has ${byteLength} bytes, at most ${maxStateBytes} are read`,
    )
  }
}

/** `readParts` lets no part come before its turn; this tells the compiler, and whoever changes that. */
function outOfTurn(): RaftSnapshotError {
  return new RaftSnapshotError('RAFT_SNAPSHOT_PART_ORDER', 'the parts of the snapshot are not in their order')
}
