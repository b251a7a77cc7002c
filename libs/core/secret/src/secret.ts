import { timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

import { allocateKeyBytes } from './key-bytes.ts'

/**
 * Bytes that print as `[secret]`.
 *
 * Takes ownership of `bytes`: they are moved into memory that stays in one place (see {@link allocateKeyBytes}), and what
 * was given is overwritten with zeros at once. Never give it a part of a larger buffer that is still needed, and no
 * `Buffer.from(string)`: the string cannot be wiped.
 */
export class Secret {
  readonly #bytes: Uint8Array
  #wiped = false

  constructor(bytes: Uint8Array) {
    this.#bytes = allocateKeyBytes(bytes.byteLength)
    this.#bytes.set(bytes)
    bytes.fill(0)
  }

  /** Length in bytes. */
  get byteLength(): number {
    return this.#bytes.byteLength
  }

  /**
   * The only way in. Do not let `bytes` outlive `use`.
   *
   * @throws {TypeError} after {@link Secret.wipe}: zeros must never be taken for a key.
   */
  reveal<T>(use: (bytes: Uint8Array) => T): T {
    if (this.#wiped) throw new TypeError('this secret was wiped')
    return use(this.#bytes)
  }

  /** A second secret with its own copy of the bytes, to be wiped on its own. */
  clone(): Secret {
    return this.reveal(bytes => {
      const copy = allocateKeyBytes(bytes.byteLength)
      copy.set(bytes)
      return new Secret(copy)
    })
  }

  /** Whether both hold the same bytes, in time that depends only on the lengths. */
  equals(other: Secret): boolean {
    return this.reveal(mine =>
      other.reveal(theirs => mine.byteLength === theirs.byteLength && timingSafeEqual(mine, theirs)),
    )
  }

  /** Overwrites our copy. Best effort: the engine may have made others. */
  wipe(): void {
    this.#bytes.fill(0)
    this.#wiped = true
  }

  [Symbol.dispose](): void {
    this.wipe()
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
