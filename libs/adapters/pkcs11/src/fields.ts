import { joinBytes, textBytes } from '@sealwright/bytes'

/** Bytes to be written one after another. Nothing is copied before {@link join}, so that a secret stands in one place only. */
export type Part = Uint8Array | readonly Part[]

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Bytes of another layout than the one we know. */
export class FieldError extends Error {
  override readonly name = 'FieldError'
}

/** All parts in one array of its own, to be wiped by the caller where there is a secret among them. */
export function join(part: Part): Uint8Array {
  return joinBytes(flatten(part))
}

function flatten(part: Part): readonly Uint8Array[] {
  return part instanceof Uint8Array ? [part] : part.flatMap(flatten)
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

/** Big-endian. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value)
}

/** Big-endian. */
export function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

/** Length (2) ‖ bytes. */
export function sized(bytes: Uint8Array): Part {
  if (bytes.byteLength > 0xffff) throw new FieldError(`${bytes.byteLength} bytes do not fit in one field`)
  return [u16(bytes.byteLength), bytes]
}

/** Length (2) ‖ UTF-8. */
export function text(value: string): Part {
  return sized(textBytes(value))
}

/** Count (2) ‖ entries. */
export function list<T>(entries: readonly T[], write: (entry: T) => Part): Part {
  return [u16(entries.length), entries.map(write)]
}

/** Reads fields in the order in which they were written. Every method throws {@link FieldError} for what is not there. */
export type FieldReader = {
  u8(): number
  u16(): number
  u32(): number
  /** A view of so many bytes. */
  bytes(length: number): Uint8Array
  /** A view of what {@link sized} wrote. */
  sized(): Uint8Array
  text(): string
  list<T>(read: () => T): readonly T[]
  /** Nothing may be left. */
  end(): void
}

export function readFields(bytes: Uint8Array): FieldReader {
  let offset = 0
  const reader: FieldReader = {
    u8: () => number(1),
    u16: () => number(2),
    u32: () => number(4),
    bytes: length => {
      if (length > bytes.byteLength - offset) {
        throw new FieldError(`${length} bytes are wanted at offset ${offset} of ${bytes.byteLength}`)
      }
      offset += length
      return bytes.subarray(offset - length, offset)
    },
    sized: () => reader.bytes(reader.u16()),
    text: () => {
      try {
        return decoder.decode(reader.sized())
      } catch (cause) {
        if (cause instanceof FieldError) throw cause
        throw new FieldError('a text is not in UTF-8', { cause })
      }
    },
    list: read => Array.from({ length: reader.u16() }, read),
    end: () => {
      if (offset !== bytes.byteLength) throw new FieldError(`${bytes.byteLength - offset} bytes are left over`)
    },
  }
  function number(length: number): number {
    return reader.bytes(length).reduce((value, byte) => value * 0x100 + byte, 0)
  }
  return reader
}
