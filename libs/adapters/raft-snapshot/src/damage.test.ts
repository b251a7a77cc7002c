import { gunzipSync, gzipSync } from 'node:zlib'
import { type Changed, countOutcomes, outcome, realSnapshot } from './testing/read.ts'
import { members, snapshotOf, stateOf, tarOf } from './testing/write-snapshot.ts'

/** A reading takes a quarter of a millisecond, and a real snapshot has 139,000 bits: all of them only with SLOW=1. */
const allBits = process.env.SLOW === '1'
const TIMEOUT_MS = 600_000

const EACH_BIT = [0, 1, 2, 3, 4, 5, 6, 7]

function* truncations(bytes: Uint8Array): Generator<Changed> {
  for (let offset = 0; offset < bytes.byteLength; offset += 1) yield { offset, bytes: bytes.subarray(0, offset) }
}

/** Each bit flipped in turn, or one of each byte, between two offsets. */
function* flips(bytes: Uint8Array, every: boolean, start = 0, end = bytes.byteLength): Generator<Changed> {
  for (let offset = start; offset < end; offset += 1) {
    for (const bit of every ? EACH_BIT : [offset % 8]) {
      const flipped = Uint8Array.from(bytes)
      flipped[offset] = (flipped[offset] ?? 0) ^ (1 << bit)
      yield { offset, bytes: flipped }
    }
  }
}

/** The offsets where a flipped bit was taken, each once. */
const offsetsOf = (accepted: readonly Changed[]): readonly number[] => [...new Set(accepted.map(each => each.offset))]

/** RFC 1952, 2.3 */
const FLG_OFFSET = 3
const HEADER_BYTES = 10
const TRAILER_BYTES = 8

/**
 * Where a real snapshot has bits that say nothing: FTEXT, the time, the level and the system (RFC 1952, 2.3.1), which a snapshot
 * that was compressed anew may have others of; and the rest of a byte before stored data and behind the last block
 * (RFC 1951, 3.2.4).
 */
function mayMeanNothing(offset: number, byteLength: number): boolean {
  return (offset >= FLG_OFFSET && offset <= HEADER_BYTES) || offset === byteLength - TRAILER_BYTES - 1
}

describe('a real snapshot', () => {
  const bytes = realSnapshot('static-seal.tar.gz')

  it('is whole', async () => {
    expect(await outcome(bytes)).toBeUndefined()
  })

  it(
    'is refused as cut off wherever it is cut',
    async () => {
      const { codes, accepted } = await countOutcomes(truncations(bytes))
      expect(accepted).toEqual([])
      expect([...codes]).toEqual([['RAFT_SNAPSHOT_TRUNCATED', bytes.byteLength]])
    },
    TIMEOUT_MS,
  )

  it(
    'is refused with a flipped bit anywhere, but for bits that say nothing',
    async () => {
      const { codes, accepted } = await countOutcomes(flips(bytes, allBits))
      expect(offsetsOf(accepted).filter(offset => !mayMeanNothing(offset, bytes.byteLength))).toEqual([])
      expect([...codes.keys()]).toContain('RAFT_SNAPSHOT_GZIP_DAMAGED')
    },
    TIMEOUT_MS,
  )

  it('is refused with any bit flipped in its first and last bytes, but for bits that say nothing', async () => {
    const ends = [...flips(bytes, true, 0, 32), ...flips(bytes, true, bytes.byteLength - 32)]
    const { codes, accepted } = await countOutcomes(ends)
    expect(offsetsOf(accepted).filter(offset => !mayMeanNothing(offset, bytes.byteLength))).toEqual([])
    expect(codes.get('RAFT_SNAPSHOT_NOT_GZIP')).toBe(16)
    // FTEXT, the 48 bits of time, level and system, and the rests of two bytes.
    expect(accepted.length).toBeLessThanOrEqual(1 + 48 + 7 + 7)
  })
})

describe('a small snapshot', () => {
  const entries = { 'core/a': 'one', 'core/b': '', 'sys/c': 'three' }

  it('is refused with any bit flipped, unless what is compressed stays the same', async () => {
    const bytes = snapshotOf(entries)
    const whole = gunzipSync(bytes)
    const { accepted } = await countOutcomes(flips(bytes, true))
    // Runs of zeros may be copied from any earlier zeros, so some bits of their distances change nothing.
    for (const each of accepted) expect(gunzipSync(each.bytes)).toEqual(whole)
  })

  // The sum of gzip finds accidents; here whoever changes a bit computes it anew.
  describe('compressed anew', () => {
    const contents = members(stateOf(entries))
    const archive = tarOf(contents)

    function* changed(changes: Iterable<Changed>): Generator<Changed> {
      for (const { offset, bytes } of changes) yield { offset, bytes: gzipSync(bytes, { level: 1 }) }
    }

    it('is refused wherever the archive is cut', async () => {
      const { codes, accepted } = await countOutcomes(changed(truncations(archive)))
      expect(accepted).toEqual([])
      expect([...codes]).toEqual([['RAFT_SNAPSHOT_NOT_TAR', archive.byteLength]])
    })

    it(
      'is refused with a flipped bit anywhere but in padding, in the sum of a header, and in what only the seal can check',
      async () => {
        const { accepted } = await countOutcomes(changed(flips(archive, allBits)))
        expect([...new Set(offsetsOf(accepted).map(placeOf))].sort()).toEqual(['header sum', 'padding', 'sealed sums'])
      },
      TIMEOUT_MS,
    )

    /** What lies at an offset of the archive: a header, its own sum (bytes 148 to 155), a part, padding, the end. */
    function placeOf(offset: number): string {
      let start = 0
      for (const { name, bytes } of contents) {
        const within = offset - start
        const end = 512 + Math.ceil(bytes.byteLength / 512) * 512
        if (within >= 148 && within < 156) return 'header sum'
        if (within < 512) return `header of ${name}`
        if (within < 512 + bytes.byteLength) return name === 'SHA256SUMS.sealed' ? 'sealed sums' : name
        if (within < end) return 'padding'
        start += end
      }
      return 'end of archive'
    }
  })
})
