import * as v from 'valibot'
import { type Answer } from './connection.ts'
import { EtcdError } from './errors.ts'

/** One key as etcd holds it. Its bytes are whatever somebody has stored. */
export interface EtcdEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** What etcd answers about a range of keys. */
export interface RangeAnswer {
  /** As `etcdctl` prints it: hex. */
  readonly clusterId: string
  /** The newest, not the one that was asked for. */
  readonly revision: number
  readonly entries: readonly EtcdEntry[]
  /** Keys of the whole range, from the first that was asked for. */
  readonly count: number
  readonly hasMore: boolean
}

/** All keys of a range at one moment. */
export interface RangeRequest {
  readonly from: Uint8Array
  /** The first key that is not wanted any more; one zero byte: there is no end. */
  readonly end: Uint8Array
  readonly limit: number
  /** Left out: now. */
  readonly revision?: number
}

/** 64-bit numbers are texts, what is 0, false or empty is left out (protobuf.dev, "ProtoJSON Format"). */
const number64 = v.pipe(
  v.string(),
  v.regex(/^\d{1,20}$/),
  v.transform(text => BigInt(text)),
)
const safeNumber = v.pipe(
  number64,
  v.check(value => value <= BigInt(Number.MAX_SAFE_INTEGER)),
  v.transform(value => Number(value)),
)
const base64 = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const bytes = Buffer.from(dataset.value, 'base64')
    // One value has one spelling.
    if (bytes.toString('base64') === dataset.value) return bytes
    addIssue({ message: 'is not base64' })
    return NEVER
  }),
)
const rangeAnswer = v.object({
  header: v.object({ cluster_id: number64, revision: safeNumber }),
  kvs: v.optional(v.array(v.object({ key: base64, value: v.optional(base64, '') })), []),
  count: v.optional(safeNumber, '0'),
  more: v.optional(v.boolean(), false),
})

/** The body of a question about a range. */
export function rangeBody({ from, end, limit, revision }: RangeRequest): object {
  return {
    key: Buffer.from(from).toString('base64'),
    range_end: Buffer.from(end).toString('base64'),
    limit: String(limit),
    ...(revision === undefined ? {} : { revision: String(revision) }),
  }
}

/**
 * Reads an answer, and checks that it answers the question: else a scan might leave out keys, or never end.
 *
 * @throws {EtcdError} `ETCD_RESPONSE_MALFORMED`; the message holds nothing of the body.
 */
export function parseRange({ origin, body }: Answer, { from, end, limit }: RangeRequest): RangeAnswer {
  const malformed = (what: string): EtcdError =>
    new EtcdError('ETCD_RESPONSE_MALFORMED', `etcd at ${origin}: ${what} (${body.byteLength} bytes)`)
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw malformed('the answer is not JSON')
  }
  const result = v.safeParse(rangeAnswer, parsed)
  if (!result.success)
    throw malformed(`the answer is not one about keys: ${v.getDotPath(result.issues[0]) ?? 'its form'}`)
  const { header, kvs: entries, count, more: hasMore } = result.output
  let least = from
  for (const { key } of entries) {
    const isBeyond = !isEndless(end) && Buffer.compare(key, end) >= 0
    if (Buffer.compare(key, least) < 0 || isBeyond) throw malformed('the answer has keys that were not asked for')
    least = nextKey(key)
  }
  if (entries.length > limit || (hasMore && entries.length === 0))
    throw malformed('the answer has a number of keys that cannot be')
  return { clusterId: header.cluster_id.toString(16), revision: header.revision, entries, count, hasMore }
}

/** One zero byte as an end: there is none. */
function isEndless(end: Uint8Array): boolean {
  return end.byteLength === 1 && end[0] === 0
}

/** The next key after this one in the order of bytes. */
export function nextKey(key: Uint8Array): Uint8Array {
  return Buffer.concat([key, Uint8Array.of(0)])
}

/** The first key after all that begin with this; one zero byte if there is none. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array {
  const last = prefix.findLastIndex(byte => byte < 0xff)
  if (last === -1) return Uint8Array.of(0)
  const end = Uint8Array.from(prefix.subarray(0, last + 1))
  end[last] = (end[last] ?? 0) + 1
  return end
}
