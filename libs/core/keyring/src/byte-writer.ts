import { joinBytes, textBytes } from '@sealwright/bytes'
import { type Registry } from './registry.ts'

/** Collects fields from front to back. The values were checked before: it checks nothing. */
export class ByteWriter {
  readonly #parts: Uint8Array[] = []
  #byteLength = 0

  get byteLength(): number {
    return this.#byteLength
  }

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#byteLength += bytes.byteLength
  }

  uint8(value: number): void {
    this.bytes(Uint8Array.of(value))
  }

  uint16(value: number): void {
    this.#number(2, view => {
      view.setUint16(0, value)
    })
  }

  uint32(value: number): void {
    this.#number(4, view => {
      view.setUint32(0, value)
    })
  }

  uint64(value: number): void {
    this.#number(8, view => {
      view.setBigUint64(0, BigInt(value))
    })
  }

  /** A length of 16 bits, and the bytes. */
  prefixed(bytes: Uint8Array): void {
    this.uint16(bytes.byteLength)
    this.bytes(bytes)
  }

  /** A length of 8 bits, and the characters. */
  name(name: string): void {
    const bytes = textBytes(name)
    this.uint8(bytes.byteLength)
    this.bytes(bytes)
  }

  registered<Name extends string>(registry: Registry<Name>, name: Name): void {
    this.uint8(registry.numbers[name])
  }

  /** A count of 16 bits, and the entries. */
  list<Entry>(entries: readonly Entry[], writeEntry: (entry: Entry) => void): void {
    this.uint16(entries.length)
    for (const entry of entries) writeEntry(entry)
  }

  /** All of it in one fresh array. */
  finish(): Uint8Array {
    return joinBytes(this.#parts)
  }

  #number(byteLength: number, write: (view: DataView) => void): void {
    const bytes = new Uint8Array(byteLength)
    write(new DataView(bytes.buffer))
    this.bytes(bytes)
  }
}
