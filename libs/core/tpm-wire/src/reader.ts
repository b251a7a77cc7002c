import { TpmWireError } from './errors.ts'

/**
 * Reads big-endian TPM structures from front to back (Part 1, clause 7.1; Part 2, clauses 5.1 and 10.4.1).
 *
 * Every read either returns exactly what was asked for or throws. Returned arrays are views, not copies.
 */
export class TpmReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** How many bytes are left. */
  get remainingBytes(): number {
    return this.#bytes.byteLength - this.#offset
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8))
  }

  /** The next `count` bytes, as a view. */
  bytes(count: number): Uint8Array {
    const start = this.#advance(count)
    return this.#bytes.subarray(start, start + count)
  }

  /**
   * A TPM2B: a 16-bit size and that many bytes (Part 2, clause 10.4.1).
   *
   * @throws {@link TpmWireError} `TPM_WIRE_RANGE` if the size is above `maxBytes`, `TPM_WIRE_TRUNCATED` if bytes are missing.
   */
  sized(maxBytes: number): Uint8Array {
    const size = this.u16()
    if (size > maxBytes)
      throw new TpmWireError('TPM_WIRE_RANGE', `a field of ${size} bytes, at most ${maxBytes} allowed`)
    return this.bytes(size)
  }

  /** Like {@link TpmReader.sized}, but exactly `expectedBytes` long. */
  sizedExactly(expectedBytes: number): Uint8Array {
    const size = this.u16()
    if (size !== expectedBytes)
      throw new TpmWireError('TPM_WIRE_RANGE', `a field of ${size} bytes, not ${expectedBytes}`)
    return this.bytes(size)
  }

  /** @throws {@link TpmWireError} `TPM_WIRE_TRAILING` unless everything was read. */
  assertEnd(): void {
    if (this.remainingBytes > 0) {
      throw new TpmWireError('TPM_WIRE_TRAILING', `${this.remainingBytes} bytes after the end of the structure`)
    }
  }

  #advance(count: number): number {
    if (count > this.remainingBytes) {
      throw new TpmWireError('TPM_WIRE_TRUNCATED', `${count} bytes wanted, ${this.remainingBytes} left`)
    }
    const start = this.#offset
    this.#offset += count
    return start
  }
}

/**
 * Reads one structure that must fill `bytes` completely.
 *
 * @throws {@link TpmWireError} whatever `read` throws, or `TPM_WIRE_TRAILING`.
 */
export function readAll<T>(bytes: Uint8Array, read: (reader: TpmReader) => T): T {
  const reader = new TpmReader(bytes)
  const value = read(reader)
  reader.assertEnd()
  return value
}
