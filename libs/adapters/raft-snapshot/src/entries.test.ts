import * as fc from 'fast-check'
import { type EntryReaderOptions, entryReader, type RaftEntry } from './entries.ts'
import { RaftSnapshotError, type RaftSnapshotErrorCode } from './errors.ts'
import { delimited, entryOf, stateOf, varint } from './testing/write-snapshot.ts'

const all: EntryReaderOptions = { wants: () => true, maxValueBytes: 1_000 }

/** Everything in `state`, taken in pieces of this length. */
function read(state: Uint8Array, pieceBytes = state.byteLength, options = all) {
  const reader = entryReader(options)
  const entries: RaftEntry[] = []
  for (let offset = 0; offset < state.byteLength; offset += pieceBytes) {
    entries.push(...reader.push(state.subarray(offset, offset + pieceBytes)))
  }
  return { entries, count: reader.end() }
}

function refusal(state: Uint8Array, options = all): RaftSnapshotErrorCode | undefined {
  try {
    read(state, state.byteLength, options)
    return undefined
  } catch (error) {
    if (error instanceof RaftSnapshotError) return error.code
    throw error
  }
}

const text = (value: string): Uint8Array => Buffer.from(value)
const plain = ({ key, value }: RaftEntry) => [key, Buffer.from(value).toString()]

describe('the entries of state.bin', () => {
  it('are read, an empty value among them, and counted', () => {
    const { entries, count } = read(stateOf({ 'core/a': 'one', 'core/b': '', 'core/ü': 'three' }))
    expect(entries.map(plain)).toEqual([
      ['core/a', 'one'],
      ['core/b', ''],
      ['core/ü', 'three'],
    ])
    expect(count).toBe(3)
  })

  it('may be none', () => {
    expect(read(new Uint8Array())).toEqual({ entries: [], count: 0 })
  })

  it('are asked for by key and length, and only wanted ones are kept', () => {
    const asked: [string, number][] = []
    const wants = (key: string, valueBytes: number): boolean => {
      asked.push([key, valueBytes])
      return key === 'b'
    }
    const { entries } = read(stateOf({ a: 'x'.repeat(2_000), b: 'yes', c: '' }), 7, { ...all, wants })
    expect(entries.map(plain)).toEqual([['b', 'yes']])
    expect(asked).toEqual([
      ['a', 2_000],
      ['b', 3],
      ['c', 0],
    ])
  })

  it('may be longer than the limit where nobody wants them', () => {
    const state = stateOf({ a: 'x'.repeat(1_001) })
    expect(refusal(state)).toBe('RAFT_SNAPSHOT_TOO_LARGE')
    expect(refusal(state, { ...all, wants: () => false })).toBeUndefined()
    expect(refusal(stateOf({ a: 'x'.repeat(1_000) }))).toBeUndefined()
  })

  it('come out the same however the bytes come in', () => {
    const keys = fc.uniqueArray(fc.string({ minLength: 1, unit: 'binary' }), { maxLength: 12 })
    const anyEntries = keys.chain(names =>
      fc.tuple(...names.map(name => fc.tuple(fc.constant(name), fc.uint8Array({ maxLength: 300 })))),
    )
    fc.assert(
      fc.property(anyEntries, fc.integer({ min: 1, max: 400 }), (entries, pieceBytes) => {
        const sorted = entries
          .map(([key, value]) => ({ key, value, bytes: Buffer.from(key) }))
          .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
        const state = Buffer.concat(sorted.map(({ bytes, value }) => entryOf(bytes, value)))
        expect(read(state, pieceBytes)).toEqual({
          entries: sorted.map(({ key, value }) => ({ key, value })),
          count: sorted.length,
        })
      }),
    )
  })
})

describe('an entry that OpenBao never writes', () => {
  const key = [[0x0a], varint(1), text('k')] as const
  const value = [[0x12], varint(1), text('v')] as const

  it.each([
    ['an empty entry', varint(0)],
    ['an entry over 2 GiB', varint(2 ** 31)],
    ['a length of six bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    ['a length that is not the shortest', [0x86, 0x00, ...delimited([...key, ...value]).subarray(1)]],
    ['a key whose length is not the shortest', delimited([[0x0a], [0x81, 0x00], text('k'), ...value])],
    ['a value whose length is not the shortest', delimited([...key, [0x12], [0x81, 0x00], text('v')])],
    ['no key', delimited([...value])],
    ['an empty key', delimited([[0x0a], varint(0), ...value])],
    ['a key that is too long', delimited([[0x0a], varint(32_769), text('k'.repeat(32_769))])],
    ['a key longer than its entry', delimited([[0x0a], varint(2), text('k')])],
    ['a key that is not UTF-8', delimited([[0x0a], varint(1), [0xff], ...value])],
    ['two keys', delimited([...key, ...key])],
    ['an empty value written out', delimited([...key, [0x12], varint(0)])],
    ['a value longer than its entry', delimited([...key, [0x12], varint(2), text('v')])],
    ['two values', delimited([...key, ...value, ...value])],
    ['an unknown field', delimited([...key, ...value, [0x18, 0x01]])],
    ['an unknown field in the place of the value', delimited([...key, [0x18, 0x01]])],
    ['an entry that ends within the length of its key', delimited([[0x0a, 0x80]])],
    ['an entry that ends after a tag', delimited([...key, [0x12]])],
    ['a key twice', Buffer.concat([delimited([...key]), delimited([...key, ...value])])],
    ['keys that descend', stateOf({ b: '', a: '' })],
    ['keys that ascend as UTF-16 and not as bytes', stateOf({ '\u{10000}': '', '\uffff': '' })],
  ])('is refused: %s', (_case, state) => {
    expect(refusal(Uint8Array.from(state))).toBe('RAFT_SNAPSHOT_ENTRY_MALFORMED')
  })

  it('is named by its number', () => {
    expect(() => read(stateOf({ a: '1', c: '2', b: '3' }))).toThrow(/entry 3 of state\.bin/)
  })
})

describe('a damaged state.bin', () => {
  const state = stateOf({ 'core/a': 'one', 'core/b': '', 'core/c': 'x'.repeat(200), 'sys/d': 'end' })
  const borders = new Set([0])
  let border = 0
  for (const [key, value] of read(state).entries.map(plain)) {
    border += stateOf({ [key ?? '']: value ?? '' }).byteLength
    borders.add(border)
  }

  it('is refused wherever it is cut within an entry', () => {
    for (let byteLength = 0; byteLength < state.byteLength; byteLength += 1) {
      const expected = borders.has(byteLength) ? undefined : 'RAFT_SNAPSHOT_ENTRY_MALFORMED'
      expect(refusal(state.subarray(0, byteLength))).toBe(expected)
    }
  })

  it('is refused with any bit flipped, or gives other entries', () => {
    const whole = JSON.stringify(read(state).entries.map(plain))
    let refused = 0
    for (let bit = 0; bit < state.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(state)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const code = refusal(flipped)
      if (code === undefined) expect(JSON.stringify(read(flipped).entries.map(plain))).not.toBe(whole)
      else refused += 1
      expect([undefined, 'RAFT_SNAPSHOT_ENTRY_MALFORMED', 'RAFT_SNAPSHOT_TOO_LARGE']).toContain(code)
    }
    expect(refused).toBeGreaterThan(0)
  })

  it('is never read past what came, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (bytes, pieceBytes) => {
        try {
          const { entries } = read(bytes, pieceBytes)
          expect(Buffer.concat(entries.map(each => entryOf(Buffer.from(each.key), each.value)))).toEqual(
            Buffer.from(bytes),
          )
        } catch (error) {
          expect(error).toBeInstanceOf(RaftSnapshotError)
        }
      }),
    )
  })
})
