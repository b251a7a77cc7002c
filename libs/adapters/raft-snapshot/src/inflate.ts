import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { errorCodeOf } from '@sealwright/system-error'
import { cancellable } from './cancellable.ts'
import { RaftSnapshotError } from './errors.ts'

/** ID1 and ID2 (RFC 1952, 2.3.1). */
const GZIP_MAGIC = [0x1f, 0x8b] as const

const GUNZIP_OPTIONS = {
  chunkSize: 65_536,
  // One member and nothing after it, as OpenBao writes it.
  rejectGarbageAfterEnd: true,
}

/** The snapshot as it lies on a disk. */
export interface SnapshotFile {
  readonly byteLength: number
  /** 32 bytes. */
  readonly sha256: Uint8Array
}

export interface Inflated {
  /** To be read once. It ends only when the gzip trailer was read and fits. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** What was read so far; the whole file once `chunks` has ended. */
  readonly file: () => SnapshotFile
}

export interface InflateOptions {
  readonly signal: AbortSignal
  /** Most bytes that may come out. */
  readonly maxBytes: number
}

/**
 * Undoes the compression of a snapshot.
 *
 * Reading `chunks` throws {@link RaftSnapshotError} `RAFT_SNAPSHOT_NOT_GZIP`, `RAFT_SNAPSHOT_TRUNCATED`,
 * `RAFT_SNAPSHOT_GZIP_DAMAGED`, `RAFT_SNAPSHOT_TOO_LARGE`, `RAFT_SNAPSHOT_CANCELLED` or `RAFT_SNAPSHOT_INPUT_FAILED`.
 *
 * @see RFC 1952
 */
export function inflate(input: AsyncIterable<Uint8Array>, { signal, maxBytes }: InflateOptions): Inflated {
  const hash = createHash('sha256')
  let byteLength = 0

  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of cancellable(input, signal)) {
      assertMagic(chunk, byteLength)
      hash.update(chunk)
      byteLength += chunk.byteLength
      // Node's streams hold an empty chunk for the end of some.
      if (chunk.byteLength > 0) yield chunk
    }
    if (byteLength === 0) throw new RaftSnapshotError('RAFT_SNAPSHOT_TRUNCATED', 'the snapshot is empty')
  }

  async function* chunks(): AsyncGenerator<Uint8Array> {
    const gunzip = createGunzip(GUNZIP_OPTIONS)
    let inflatedBytes = 0
    try {
      // Any failure of the pipeline is one of `gunzip` too, so the loop below meets it.
      for await (const chunk of pipeline(measured(), gunzip, () => undefined) as AsyncIterable<Uint8Array>) {
        inflatedBytes += chunk.byteLength
        if (inflatedBytes > maxBytes) {
          throw new RaftSnapshotError('RAFT_SNAPSHOT_TOO_LARGE', `the archive has more than ${maxBytes} bytes`)
        }
        yield chunk
      }
    } catch (cause) {
      throw explain(cause, byteLength)
    }
  }

  return { chunks: chunks(), file: () => ({ byteLength, sha256: Uint8Array.from(hash.copy().digest()) }) }
}

/** @param offset - where `chunk` begins in the file. */
function assertMagic(chunk: Uint8Array, offset: number): void {
  GZIP_MAGIC.forEach((expected, index) => {
    const byte = chunk[index - offset]
    if (byte === undefined || byte === expected) return
    throw new RaftSnapshotError('RAFT_SNAPSHOT_NOT_GZIP', 'this is no raft snapshot: it does not begin as a gzip file')
  })
}

function explain(cause: unknown, byteLength: number): unknown {
  if (cause instanceof RaftSnapshotError) return cause
  if (errorCodeOf(cause) === 'Z_BUF_ERROR') {
    return new RaftSnapshotError(
      'RAFT_SNAPSHOT_TRUNCATED',
      `the snapshot is cut off after ${byteLength} bytes: take or fetch it again`,
      { cause },
    )
  }
  return new RaftSnapshotError(
    'RAFT_SNAPSHOT_GZIP_DAMAGED',
    'the compressed data of the snapshot are damaged: take it again, or use another copy',
    { cause },
  )
}
