import { type Connection, openConnection } from './connection.ts'
import { EtcdError } from './errors.ts'
import {
  endOfPrefix,
  type EtcdEntry,
  nextKey,
  parseRange,
  type RangeAnswer,
  rangeBody,
  type RangeRequest,
} from './messages.ts'
import { type EtcdOptions } from './options.ts'

const RANGE_PATH = '/v3/kv/range'
const FIRST_PAGE_KEYS = 256
const MAX_PAGE_KEYS = 1_000
/** Pages grow and shrink towards so many bytes of answer: memory stays flat, whatever the objects. */
const PAGE_BYTES = 2_097_152
/** By so much a page shrinks that was larger than an answer may be. */
const SHRINK = 4

/** Some of the keys of a scan. */
export interface EtcdPage {
  /** Of the etcd cluster, in hex, as `etcdctl` prints it. */
  readonly clusterId: string
  /** The moment that the whole scan shows. */
  readonly revision: number
  /** Keys of the whole scan. */
  readonly total: number
  readonly entries: readonly EtcdEntry[]
}

/** Reads keys of an etcd v3 through its gateway for JSON. It writes nothing. */
export interface EtcdReader extends AsyncDisposable {
  /**
   * All keys that begin with `prefix`, in their order, as they were at one moment: that of the first page.
   *
   * @param prefix - empty: all keys.
   * @throws {@link EtcdError} any code but `ETCD_OPTIONS_INVALID`. Until it has ended by itself, keys may be missing.
   */
  readonly scan: (prefix: Uint8Array, options: { readonly signal: AbortSignal }) => AsyncGenerator<EtcdPage>
}

/**
 * Opens the way to an etcd. Nothing is sent before the first scan.
 *
 * @throws {@link EtcdError} `ETCD_OPTIONS_INVALID`.
 */
export function openEtcd(options: EtcdOptions): EtcdReader {
  const connection = openConnection(options)
  return {
    scan: (prefix, { signal }) => scan(connection, prefix, signal),
    [Symbol.asyncDispose]: async () => {
      await connection.close()
    },
  }
}

async function* scan(connection: Connection, prefix: Uint8Array, signal: AbortSignal): AsyncGenerator<EtcdPage> {
  const end = endOfPrefix(prefix)
  // No key is empty.
  let from = prefix.byteLength === 0 ? Uint8Array.of(0) : prefix
  let limit = FIRST_PAGE_KEYS
  let first: Pick<EtcdPage, 'clusterId' | 'revision' | 'total'> | undefined
  let seen = 0
  for (;;) {
    const request = { from, end, limit, ...(first === undefined ? {} : { revision: first.revision }) }
    const { answer, byteLength, keys } = await askForPage(connection, request, signal)
    first ??= { clusterId: answer.clusterId, revision: answer.revision, total: answer.count }
    if (answer.clusterId !== first.clusterId) {
      throw new EtcdError(
        'ETCD_OTHER_CLUSTER',
        `the addresses are of two clusters: ${first.clusterId}, ${answer.clusterId}`,
      )
    }
    seen += answer.entries.length
    yield { ...first, entries: answer.entries }
    const last = answer.entries.at(-1)
    if (!answer.hasMore || last === undefined) break
    from = nextKey(last.key)
    limit = Math.max(1, Math.min(MAX_PAGE_KEYS, Math.floor((keys * PAGE_BYTES) / byteLength)))
  }
  if (seen !== first.total) {
    throw new EtcdError('ETCD_RESPONSE_MALFORMED', `etcd has ${first.total} keys there, and handed out ${seen}`)
  }
}

interface SizedAnswer {
  readonly answer: RangeAnswer
  readonly byteLength: number
  /** How many were asked for in the end. */
  readonly keys: number
}

/** One page, shorter than was asked for if it would be too large. */
async function askForPage(connection: Connection, request: RangeRequest, signal: AbortSignal): Promise<SizedAnswer> {
  for (let limit = request.limit; ; limit = Math.max(1, Math.floor(limit / SHRINK))) {
    const asked = { ...request, limit }
    try {
      const answer = await connection.ask(RANGE_PATH, rangeBody(asked), signal)
      return { answer: parseRange(answer, asked), byteLength: answer.body.byteLength, keys: limit }
    } catch (error) {
      if (limit === 1 || !(error instanceof EtcdError) || error.code !== 'ETCD_RESPONSE_TOO_LARGE') throw error
    }
  }
}
