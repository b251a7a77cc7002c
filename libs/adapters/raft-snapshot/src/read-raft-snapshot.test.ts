import { createHash } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { type RaftEntry } from './entries.ts'
import { MAX_RESTORABLE_PART_BYTES, MAX_SMALL_PART_BYTES } from './limits.ts'
import { readRaftSnapshot, type ReadRaftSnapshotOptions } from './read-raft-snapshot.ts'
import { codeOf, inPieces, outcome, signal } from './testing/read.ts'
import { type Member, members, metaJson, snapshotOf, stateOf, tarOf } from './testing/write-snapshot.ts'

const entries = { 'core/a': 'one', 'core/b': '', 'sys/c': 'x'.repeat(5_000) }
const state = stateOf(entries)
const [meta, stateBin, sums, sealed] = members(state)

const packed = (...contents: readonly Member[]): Buffer => gzipSync(tarOf(contents))
const renamed = (member: Member, name: string): Member => ({ ...member, name })

async function read(bytes: Uint8Array, options: Partial<ReadRaftSnapshotOptions> = {}, pieceBytes?: number) {
  return await readRaftSnapshot(inPieces(bytes, pieceBytes), { signal, ...options })
}

describe('a whole snapshot', () => {
  it('is described', async () => {
    const bytes = snapshotOf(entries)
    expect(await read(bytes)).toEqual({
      file: { byteLength: bytes.byteLength, sha256: Uint8Array.from(createHash('sha256').update(bytes).digest()) },
      metadata: {
        version: 1,
        id: 'bolt-snapshot',
        index: 30,
        term: 3,
        configurationIndex: 1,
        servers: [{ id: 'n1', address: '127.0.0.1:8201', suffrage: 'voter' }],
        stateBytes: state.byteLength,
      },
      entryCount: 3,
      sums: {
        metaJson: Uint8Array.from(createHash('sha256').update(meta.bytes).digest()),
        stateBin: Uint8Array.from(createHash('sha256').update(state).digest()),
      },
      sealedSums: Uint8Array.from(sealed.bytes),
      partsTooLargeToRestore: [],
    })
  })

  it('hands out the entries that are wanted, in order, one after the other', async () => {
    const seen: string[] = []
    let busy = false
    const onEntry = async ({ key, value }: RaftEntry): Promise<void> => {
      expect(busy).toBe(false)
      busy = true
      await Promise.resolve()
      seen.push(`${key}=${Buffer.from(value).toString()}`)
      busy = false
    }
    await read(snapshotOf(entries), { wants: key => key.startsWith('core/'), onEntry })
    expect(seen).toEqual(['core/a=one', 'core/b='])
  })

  it('is the same in pieces of any size, empty ones among them', async () => {
    const bytes = snapshotOf(entries)
    const whole = await read(bytes)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: bytes.byteLength }), { maxLength: 20 }), async cuts => {
        const borders = [0, ...cuts.sort((a, b) => a - b), bytes.byteLength]
        async function* pieces(): AsyncGenerator<Uint8Array> {
          for (const [index, border] of borders.entries()) {
            yield await Promise.resolve(bytes.subarray(border, borders[index + 1] ?? border))
          }
        }
        expect(await readRaftSnapshot(pieces(), { signal })).toEqual(whole)
      }),
      { numRuns: 50 },
    )
    expect(await read(bytes, {}, 1)).toEqual(whole)
  })

  it('may have no entry', async () => {
    expect((await read(snapshotOf({}))).entryCount).toBe(0)
  })

  it('may name a length in an extended header, as Go does from 8 GiB on', async () => {
    const extended = { ...stateBin, namedBytes: 0, extendedSize: state.byteLength }
    expect((await read(packed(meta, extended, sums, sealed))).entryCount).toBe(3)
  })

  it('may be compressed anew, and padded with more zeros', async () => {
    const padded = Buffer.concat([tarOf([meta, stateBin, sums, sealed]), Buffer.alloc(8_192)])
    for (const level of [0, 1, 9]) expect(await outcome(gzipSync(padded, { level }))).toBeUndefined()
  })
})

describe('the parts of an archive', () => {
  it.each([
    ['meta.json', [stateBin, sums, sealed], 'RAFT_SNAPSHOT_PART_ORDER'],
    ['state.bin', [meta, sums, sealed], 'RAFT_SNAPSHOT_PART_ORDER'],
    ['SHA256SUMS', [meta, stateBin, sealed], 'RAFT_SNAPSHOT_PART_ORDER'],
    ['SHA256SUMS.sealed', [meta, stateBin, sums], 'RAFT_SNAPSHOT_PART_MISSING'],
    ['all', [], 'RAFT_SNAPSHOT_PART_MISSING'],
  ])('must be complete: without %s', async (_part, contents, code) => {
    expect(await outcome(packed(...contents))).toBe(code)
  })

  it.each([
    ['meta.json', [meta, meta, stateBin, sums, sealed]],
    ['state.bin', [meta, stateBin, stateBin, sums, sealed]],
    ['SHA256SUMS', [meta, stateBin, sums, sums, sealed]],
    ['SHA256SUMS.sealed', [meta, stateBin, sums, sealed, sealed]],
    ['meta.json at the end', [meta, stateBin, sums, sealed, meta]],
  ])('must be there once: %s', async (_part, contents) => {
    expect(await outcome(packed(...contents))).toBe('RAFT_SNAPSHOT_PART_REPEATED')
  })

  it.each([
    ['state.bin first', [stateBin, meta, sums, sealed]],
    ['sums before state.bin', [meta, sums, stateBin, sealed]],
    ['sealed sums before sums', [meta, stateBin, sealed, sums]],
  ])('must be in their order: %s', async (_case, contents) => {
    expect(await outcome(packed(...contents))).toBe('RAFT_SNAPSHOT_PART_ORDER')
  })

  it.each([
    ['a member of another name', [renamed(meta, 'meta.jsom'), stateBin, sums, sealed]],
    ['a member in a folder', [renamed(meta, './meta.json'), stateBin, sums, sealed]],
    ['a fifth member', [meta, stateBin, sums, sealed, renamed(sealed, 'more')]],
    ['a folder', [{ name: 'meta.json', bytes: Buffer.alloc(0), type: '5' }, stateBin, sums, sealed]],
    ['a link', [{ name: 'meta.json', bytes: Buffer.alloc(0), type: '2' }, stateBin, sums, sealed]],
  ])('must be the four that OpenBao writes: %s', async (_case, contents) => {
    expect(await outcome(packed(...contents))).toBe('RAFT_SNAPSHOT_PART_UNKNOWN')
  })

  it('must fit one another', async () => {
    const other = stateOf({ ...entries, 'core/a': 'two' })
    const longer = stateOf({ ...entries, 'sys/d': '' })
    const otherMeta = metaJson(state.byteLength, { Index: 31 })
    expect(await outcome(packed(meta, { ...stateBin, bytes: other }, sums, sealed))).toBe('RAFT_SNAPSHOT_SUM_MISMATCH')
    expect(await outcome(packed({ ...meta, bytes: otherMeta }, stateBin, sums, sealed))).toBe(
      'RAFT_SNAPSHOT_SUM_MISMATCH',
    )
    expect(await outcome(packed(meta, { ...stateBin, bytes: longer }, sums, sealed))).toBe(
      'RAFT_SNAPSHOT_SIZE_MISMATCH',
    )
    expect(await outcome(packed(meta, stateBin, { ...sums, bytes: sums.bytes.subarray(1) }, sealed))).toBe(
      'RAFT_SNAPSHOT_SUMS_MALFORMED',
    )
  })

  it('must each be what OpenBao writes', async () => {
    const broken = Buffer.concat([state, Buffer.from([0x05])])
    expect(await outcome(packed(...members(broken)))).toBe('RAFT_SNAPSHOT_ENTRY_MALFORMED')
    expect(await outcome(packed(...members(state, Buffer.from('{}'))))).toBe('RAFT_SNAPSHOT_META_MALFORMED')
  })
})

describe('what is no archive', () => {
  const whole = tarOf([meta, stateBin, sums, sealed])

  it.each([
    ['an error of OpenBao', Buffer.from('{"errors":["permission denied"]}')],
    ['an archive that is not compressed', whole],
    ['half of the magic', Buffer.from([0x1f, 0x8c, 0x08])],
  ])('is refused as no gzip file: %s', async (_case, bytes) => {
    expect(await outcome(bytes)).toBe('RAFT_SNAPSHOT_NOT_GZIP')
  })

  it('is refused as cut off when nothing came', async () => {
    expect(await outcome(new Uint8Array())).toBe('RAFT_SNAPSHOT_TRUNCATED')
  })

  it.each([
    ['text', gzipSync('no archive at all')],
    ['much text', gzipSync('no archive at all'.repeat(1_000))],
    ['nothing', gzipSync('')],
    ['an archive without its end', gzipSync(whole.subarray(0, -1_024))],
    ['an archive with half its end', gzipSync(whole.subarray(0, -512))],
    ['an archive cut within a part', gzipSync(whole.subarray(0, 3_000))],
    ['an archive with something behind its end', gzipSync(Buffer.concat([whole, Buffer.from('more')]))],
  ])('is refused as no whole tar: %s', async (_case, bytes) => {
    expect(await outcome(bytes)).toBe('RAFT_SNAPSHOT_NOT_TAR')
  })

  it.each([
    ['bytes', Buffer.from('more')],
    ['zeros', Buffer.alloc(512)],
    ['a second gzip file', gzipSync('more')],
    ['an empty gzip file', gzipSync('')],
  ])('is refused with %s behind the gzip file, in one piece or several', async (_case, more) => {
    const bytes = Buffer.concat([gzipSync(whole), more])
    expect(await outcome(bytes)).toBe('RAFT_SNAPSHOT_GZIP_DAMAGED')
    async function* twoPieces(): AsyncGenerator<Uint8Array> {
      yield* inPieces(gzipSync(whole))
      yield* inPieces(more)
    }
    expect(await codeOf(readRaftSnapshot(twoPieces(), { signal }))).toBe('RAFT_SNAPSHOT_GZIP_DAMAGED')
  })

  it('never makes anything else than a code of ours', async () => {
    const damaged = fc
      .tuple(fc.nat(whole.byteLength - 1), fc.uint8Array({ minLength: 1, maxLength: 64 }))
      .map(([offset, patch]) => {
        const bytes = Buffer.from(whole)
        bytes.set(patch.subarray(0, whole.byteLength - offset), offset)
        return gzipSync(bytes, { level: 1 })
      })
    await fc.assert(
      fc.asyncProperty(damaged, async bytes => {
        await outcome(bytes)
      }),
      { numRuns: 200 },
    )
  })
})

describe('the limits', () => {
  it('hold for state.bin', async () => {
    const limit = async (maxStateBytes: number) => await codeOf(read(snapshotOf(entries), { maxStateBytes }))
    expect(await limit(state.byteLength)).toBeUndefined()
    expect(await limit(state.byteLength - 1)).toBe('RAFT_SNAPSHOT_TOO_LARGE')
  })

  it('hold for a wanted value', async () => {
    const limit = async (maxValueBytes: number, wants: (key: string) => boolean) =>
      await codeOf(read(snapshotOf(entries), { maxValueBytes, wants }))
    expect(await limit(5_000, () => true)).toBeUndefined()
    expect(await limit(4_999, () => true)).toBe('RAFT_SNAPSHOT_TOO_LARGE')
    expect(await limit(4_999, key => key !== 'sys/c')).toBeUndefined()
  })

  it('hold for the other parts', async () => {
    const large = { ...sealed, bytes: Buffer.alloc(MAX_SMALL_PART_BYTES) }
    expect(await outcome(packed(meta, stateBin, sums, large))).toBeUndefined()
    const larger = { ...sealed, bytes: Buffer.alloc(MAX_SMALL_PART_BYTES + 1) }
    expect(await outcome(packed(meta, stateBin, sums, larger))).toBe('RAFT_SNAPSHOT_TOO_LARGE')
  })

  it('hold for what a small file may grow to', async () => {
    const bomb = Buffer.concat([tarOf([meta, stateBin, sums, sealed]), Buffer.alloc(8 * 1_024 * 1_024)])
    expect(await codeOf(read(gzipSync(bomb), { maxStateBytes: state.byteLength }))).toBe('RAFT_SNAPSHOT_TOO_LARGE')
  })

  it('of OpenBao are told: parts that it would not take back', async () => {
    const withSealed = async (byteLength: number) => {
      const bytes = packed(meta, stateBin, sums, { ...sealed, bytes: Buffer.alloc(byteLength) })
      return (await read(bytes)).partsTooLargeToRestore
    }
    expect(await withSealed(MAX_RESTORABLE_PART_BYTES)).toEqual([])
    expect(await withSealed(MAX_RESTORABLE_PART_BYTES + 1)).toEqual(['SHA256SUMS.sealed'])
    const wide = metaJson(state.byteLength, { Padding: 'x'.repeat(MAX_RESTORABLE_PART_BYTES) })
    expect((await read(packed(...members(state, wide)))).partsTooLargeToRestore).toEqual(['meta.json'])
  })
})

describe('an input', () => {
  const bytes = snapshotOf(entries)

  /** Gives pieces, then what `last` does; tells whether it was closed. */
  function watched(pieces: readonly Uint8Array[], last: () => Promise<IteratorResult<Uint8Array>>) {
    const closed = Promise.withResolvers<true>()
    const rest = [...pieces]
    const iterator: AsyncIterator<Uint8Array> = {
      next: async () => {
        const value = rest.shift()
        return value === undefined ? await last() : { done: false, value }
      },
      return: async () => {
        closed.resolve(true)
        return await Promise.resolve({ done: true, value: undefined })
      },
    }
    return { input: { [Symbol.asyncIterator]: () => iterator }, closed: closed.promise }
  }
  const never = async (): Promise<never> => await new Promise(() => undefined)

  it.each([0, 1, 300, bytes.byteLength])('may hang after %i bytes: a cancellation ends it', async byteLength => {
    const caller = new AbortController()
    const waiting = Promise.withResolvers<undefined>()
    const { input, closed } = watched([bytes.subarray(0, byteLength)], async () => {
      waiting.resolve(undefined)
      return await never()
    })
    const reading = codeOf(readRaftSnapshot(input, { signal: caller.signal }))
    await waiting.promise
    caller.abort(new Error('enough'))
    expect(await reading).toBe('RAFT_SNAPSHOT_CANCELLED')
    expect(await closed).toBe(true)
  })

  it('is not read at all when the signal has fired before', async () => {
    const { input, closed } = watched([bytes], never)
    expect(await codeOf(readRaftSnapshot(input, { signal: AbortSignal.abort() }))).toBe('RAFT_SNAPSHOT_CANCELLED')
    expect(await closed).toBe(true)
  })

  it.each([0, 1, 300, bytes.byteLength])('may fail after %i bytes', async byteLength => {
    const broken = new Error('connection reset')
    const { input } = watched([bytes.subarray(0, byteLength)], async () => await Promise.reject(broken))
    const reading = readRaftSnapshot(input, { signal })
    await expect(reading).rejects.toMatchObject({ code: 'RAFT_SNAPSHOT_INPUT_FAILED', cause: broken })
  })

  it.each([
    ['no gzip file', Buffer.from('{"errors":[]}')],
    ['no archive', gzipSync('x'.repeat(5_000))],
    ['a part that is unknown', packed(renamed(meta, 'other'))],
    ['a part that is malformed', packed(...members(state, Buffer.from('[]')))],
    ['an entry that is malformed', packed(...members(Buffer.from('no state')))],
  ])('is closed although it hangs behind what is refused: %s', async (_case, refused) => {
    // All but the trailer: the end of the file is still to come.
    const { input, closed } = watched([refused.subarray(0, -8)], never)
    const reading = codeOf(readRaftSnapshot(input, { signal }))
    expect(await reading).toMatch(/NOT_GZIP|NOT_TAR|PART_UNKNOWN|META_MALFORMED|SIZE_MISMATCH|ENTRY_MALFORMED/)
    expect(await closed).toBe(true)
  })

  it('is closed when the caller throws, whose error passes through', async () => {
    const mine = new Error('mine')
    const fail = (): never => {
      throw mine
    }
    for (const options of [{ wants: fail }, { wants: () => true, onEntry: fail }]) {
      const { input, closed } = watched([bytes.subarray(0, -8)], never)
      await expect(readRaftSnapshot(input, { signal, ...options })).rejects.toBe(mine)
      expect(await closed).toBe(true)
    }
  })

  it('leaves no listener behind on the signal', async () => {
    const caller = new AbortController()
    await readRaftSnapshot(inPieces(bytes, 100), { signal: caller.signal })
    expect(getEventListeners(caller.signal, 'abort')).toEqual([])
  })
})
