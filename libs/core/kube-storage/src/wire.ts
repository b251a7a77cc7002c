import { malformed } from './errors.ts'

/** One field of a protobuf message, of the two wire types that an encrypted object has. */
export type WireField =
  | { readonly kind: 'number'; readonly field: number; readonly value: bigint }
  | { readonly kind: 'bytes'; readonly field: number; readonly value: Uint8Array }

/** Wire types (protobuf.dev, "Message Structure"). */
const VARINT = 0n
const FIXED64 = 1n
const BYTES = 2n
const GROUP_START = 3n
const GROUP_END = 4n
const FIXED32 = 5n

const WIRE_TYPE_BITS = 3n
const WIRE_TYPE_MASK = 0b111n
const MAX_FIELD = 536_870_911n
const FIXED64_BYTES = 8
const FIXED32_BYTES = 4

const VARINT_BITS = 7
const VARINT_MASK = 0x7f
const VARINT_MORE = 0x80
const MAX_VARINT_BYTES = 10
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn

/**
 * Splits a message into its fields, in their order, as the protobuf library of Go does, by which kube-apiserver reads: fields of other wire types are
 * passed over. The values of kind `bytes` are views, not copies.
 *
 * @throws {KubeStorageError} `KUBE_STORAGE_MALFORMED` for what is cut off, and for tags and numbers that cannot be.
 */
export function readFields(message: Uint8Array): readonly WireField[] {
  const fields: WireField[] = []
  /** Groups that were begun and not ended: passed over as a whole. */
  const groups: bigint[] = []
  let at = 0

  const varint = (): bigint => {
    let value = 0n
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const byte = message[at]
      if (byte === undefined) throw malformed('it is cut off')
      at += 1
      value |= BigInt(byte & VARINT_MASK) << BigInt(VARINT_BITS * index)
      if ((byte & VARINT_MORE) !== 0) continue
      if (value > MAX_UINT64) break
      return value
    }
    throw malformed('a number in it is too large')
  }

  const take = (byteLength: bigint | number): Uint8Array => {
    const start = at
    if (byteLength > message.byteLength - start) throw malformed('it is cut off')
    at = start + Number(byteLength)
    return message.subarray(start, at)
  }

  while (at < message.byteLength) {
    const tag = varint()
    const number = tag >> WIRE_TYPE_BITS
    if (number < 1n || number > MAX_FIELD) throw malformed('a field in it has an impossible number')
    const field = Number(number)
    const isOutside = groups.length === 0
    switch (tag & WIRE_TYPE_MASK) {
      case VARINT: {
        const value = varint()
        if (isOutside) fields.push({ kind: 'number', field, value })
        break
      }
      case BYTES: {
        const value = take(varint())
        if (isOutside) fields.push({ kind: 'bytes', field, value })
        break
      }
      case FIXED64:
        take(FIXED64_BYTES)
        break
      case FIXED32:
        take(FIXED32_BYTES)
        break
      case GROUP_START:
        groups.push(number)
        break
      case GROUP_END:
        if (groups.pop() !== number) throw malformed('a group in it ends that was not begun')
        break
      default:
        throw malformed('a field in it has an impossible type')
    }
  }
  if (groups.length > 0) throw malformed('a group in it does not end')
  return fields
}
