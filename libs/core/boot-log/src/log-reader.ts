import { BootLogError } from './errors.ts'

/**
 * Reads little-endian structures from front to back: event logs are little-endian, unlike all that a TPM itself sends (TCG PC Client
 * Platform Firmware Profile, clause 10.2). Returned arrays are views, not copies.
 */
export class LogReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get offset(): number {
    return this.#offset
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.byteLength
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true)
  }

  bytes(count: number): Uint8Array {
    const start = this.#advance(count)
    return this.#bytes.subarray(start, start + count)
  }

  #advance(count: number): number {
    const left = this.#bytes.byteLength - this.#offset
    if (count > left) {
      throw new BootLogError(
        'BOOT_LOG_MALFORMED',
        `the event log is cut or damaged: at byte ${this.#offset} ${count} bytes are missing, ${left} are left`,
      )
    }
    const start = this.#offset
    this.#offset += count
    return start
  }
}
