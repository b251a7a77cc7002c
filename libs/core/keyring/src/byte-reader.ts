import { KeyringError } from './keyring-error.ts'
import { MAX_NAME_BYTES } from './keyring.ts'
import { type Registry } from './registry.ts'

/** Printable ASCII without the space: what a name may be made of. */
const NAME = /^[\x21-\x7e]+$/

/** Whether `text` can be the name of a key, a seal or a member. */
export function isName(text: string): boolean {
  return text.length <= MAX_NAME_BYTES && NAME.test(text)
}

/** Reads fields from front to back. Each read throws `KEYRING_MALFORMED` where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** A view of the next bytes. */
  bytes(field: string, byteLength: number): Uint8Array {
    const start = this.#advance(field, byteLength)
    return this.#bytes.subarray(start, start + byteLength)
  }

  uint8(field: string): number {
    return this.#view.getUint8(this.#advance(field, 1))
  }

  uint32(field: string): number {
    return this.#view.getUint32(this.#advance(field, 4))
  }

  /** 64 bits; refused above 2^53 - 1, where JavaScript numbers have gaps. */
  uint64(field: string): number {
    const value = this.#view.getBigUint64(this.#advance(field, 8))
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`${field} is above 2^53 - 1`)
    return Number(value)
  }

  /** A length of 16 bits, and so many bytes. */
  prefixed(field: string, maxBytes: number): Uint8Array {
    const byteLength = this.#view.getUint16(this.#advance(field, 2))
    if (byteLength > maxBytes) {
      throw new KeyringError('KEYRING_TOO_LARGE', `${field} of ${byteLength} bytes, at most ${maxBytes} allowed`)
    }
    return this.bytes(field, byteLength)
  }

  /** A length of 8 bits, and so many printable ASCII characters. */
  name(field: string): string {
    const text = String.fromCharCode(...this.bytes(field, this.uint8(field)))
    if (!isName(text)) throw malformed(`${field} is not 1 to ${MAX_NAME_BYTES} printable ASCII characters`)
    return text
  }

  /** The name that a number stands for. 0 was never given; any other unknown one may come from a newer version. */
  registered<Name extends string>(registry: Registry<Name>): Name {
    const number = this.uint8(registry.title)
    if (number === 0) throw malformed(`a ${registry.title} is 0`)
    const name = registry.names.get(number)
    if (name === undefined) throw new KeyringError('KEYRING_UNSUPPORTED', `unknown ${registry.title} ${number}`)
    return name
  }

  /** A count of 16 bits, and so many entries. */
  list<Entry>(field: string, maxEntries: number, readEntry: () => Entry): readonly Entry[] {
    const count = this.#view.getUint16(this.#advance(field, 2))
    if (count > maxEntries) {
      throw new KeyringError('KEYRING_TOO_LARGE', `${count} ${field}, at most ${maxEntries} allowed`)
    }
    return Array.from({ length: count }, readEntry)
  }

  /** Throws `KEYRING_MALFORMED` if bytes are left over. */
  end(): void {
    const leftOver = this.#bytes.byteLength - this.#offset
    if (leftOver !== 0) throw malformed(`${leftOver} bytes left over`)
  }

  #advance(field: string, byteLength: number): number {
    const start = this.#offset
    if (start + byteLength > this.#bytes.byteLength) throw malformed(`it ends inside: ${field}`)
    this.#offset = start + byteLength
    return start
  }
}

export function malformed(reason: string): KeyringError {
  return new KeyringError('KEYRING_MALFORMED', `not a keyring: ${reason}`)
}
