/** Most bytes of a varint that we need: five hold 35 bits. */
const MAX_VARINT_BYTES = 5

export interface VarintReader {
  /** Takes one byte. A number ends the varint, and the next byte begins another. */
  readonly take: (byte: number) => number | 'more' | 'malformed'
  /** Whether a varint has begun and not ended. */
  readonly underWay: () => boolean
}

/** Reads unsigned varints (seven bits a byte, the lowest first) in their shortest form, up to 2^35 - 1. */
export function varintReader(): VarintReader {
  let value = 0
  let length = 0
  return {
    take: byte => {
      value += (byte & 0x7f) * 2 ** (7 * length)
      length += 1
      if (byte >= 0x80) return length === MAX_VARINT_BYTES ? 'malformed' : 'more'
      // A last byte of zero adds nothing: the form without it is shorter.
      if (byte === 0 && length > 1) return 'malformed'
      const result = value
      value = 0
      length = 0
      return result
    },
    underWay: () => length > 0,
  }
}
