import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'

/** A member of an archive, as it shall stand there, right or wrong. */
export interface Member {
  readonly name: string
  readonly bytes: Uint8Array
  /** Length in the header, where it is not that of `bytes`. */
  readonly namedBytes?: number
  /** Type flag of the header. Default `0`, a regular file. */
  readonly type?: string
  /** `size` of an extended header before the member, as Go writes it for 8 GiB and more. */
  readonly extendedSize?: number
}

const BLOCK_BYTES = 512

/** Unsigned varint in its shortest form. */
export function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  return Uint8Array.from([...bytes, rest])
}

/** `state.bin` of these entries, in the order given. */
export function stateOf(entries: Readonly<Record<string, string>>): Uint8Array {
  return Buffer.concat(Object.entries(entries).map(([key, value]) => entryOf(Buffer.from(key), Buffer.from(value))))
}

/** One entry with its length before it; an empty value is left out. */
export function entryOf(key: Uint8Array, value: Uint8Array): Uint8Array {
  const written = value.byteLength === 0 ? [] : [[0x12], varint(value.byteLength), value]
  return delimited([[0x0a], varint(key.byteLength), key, ...written])
}

/** The parts, put together, with their length before them. */
export function delimited(parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const bytes = Buffer.concat(parts.map(part => Uint8Array.from(part)))
  return Buffer.concat([varint(bytes.byteLength), bytes])
}

export function metaJson(stateBytes: number, changes: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const meta = {
    Version: 1,
    ID: 'bolt-snapshot',
    Index: 30,
    Term: 3,
    Peers: null,
    Configuration: { Servers: [{ Suffrage: 0, ID: 'n1', Address: '127.0.0.1:8201' }] },
    ConfigurationIndex: 1,
    Size: stateBytes,
    ...changes,
  }
  return Buffer.from(`${JSON.stringify(meta)}\n`)
}

export function sumsOf(meta: Uint8Array, state: Uint8Array): Uint8Array {
  return Buffer.from(`${hexSum(meta)}  meta.json\n${hexSum(state)}  state.bin\n`)
}

export function hexSum(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export type Members = readonly [meta: Member, state: Member, sums: Member, sealed: Member]

/** The four members of a snapshot that fit one another. */
export function members(state: Uint8Array, meta: Uint8Array = metaJson(state.byteLength)): Members {
  return [
    { name: 'meta.json', bytes: meta },
    { name: 'state.bin', bytes: state },
    { name: 'SHA256SUMS', bytes: sumsOf(meta, state) },
    { name: 'SHA256SUMS.sealed', bytes: Buffer.from('sealed sums') },
  ]
}

/** A whole snapshot of these entries. */
export function snapshotOf(entries: Readonly<Record<string, string>>): Uint8Array {
  return gzipSync(tarOf(members(stateOf(entries))))
}

/** An archive in the format `ustar`, with the two blocks of zeros that end it. */
export function tarOf(contents: readonly Member[]): Buffer {
  return Buffer.concat([...contents.flatMap(blocksOf), Buffer.alloc(2 * BLOCK_BYTES)])
}

function blocksOf({ name, bytes, namedBytes = bytes.byteLength, type = '0', extendedSize }: Member): Uint8Array[] {
  const padding = Buffer.alloc((BLOCK_BYTES - (bytes.byteLength % BLOCK_BYTES)) % BLOCK_BYTES)
  const extended = extendedSize === undefined ? [] : blocksOf(extendedHeader(extendedSize))
  return [...extended, header(name, namedBytes, type), bytes, padding]
}

/** POSIX pax: `<length of the record> size=<number>\n`. */
function extendedHeader(size: number): Member {
  const record = ` size=${size}\n`
  return { name: 'pax', type: 'x', bytes: Buffer.from(`${record.length + 2}${record}`) }
}

/** POSIX.1-1988 ustar: offsets and widths of its fields. */
function header(name: string, size: number, type: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(name, 0, 100, 'latin1')
  block.write('0000600', 100)
  block.write('0000000', 108)
  block.write('0000000', 116)
  block.write(size.toString(8).padStart(11, '0'), 124)
  block.write('00000000000', 136)
  block.write('        ', 148)
  block.write(type, 156)
  block.write('ustar\u000000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148)
  return block
}
