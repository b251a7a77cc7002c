import { createSecretKey, type KeyObject } from 'node:crypto'

import { EnvelopeError } from './envelope-error.ts'
import {
  decryptByDerivedKey,
  deriveXaesKey,
  encryptByDerivedKey,
  type Encrypted,
  HALF_NONCE_BYTES,
  type Message,
  XAES_KEY_BYTES,
  XAES_NONCE_BYTES,
} from './xaes-256-gcm.ts'

/**
 * So many messages share the first half of their nonces, and with it a derived key: their second halves, random, are then equal for
 * two of them with a probability of 2^-57.
 */
const MAX_MESSAGES_PER_HALF = 2 ** 20
/** Derived keys that are kept for decryption. Each run of a program makes one for a million messages. */
const MAX_KEPT_KEYS = 64

/**
 * XAES-256-GCM for many small messages under one key: messages that follow each other have the first half of their nonces in common, so
 * that a key is derived once for many. Whoever decrypts them one by one sees no difference.
 *
 * Unlike {@link encryptXaes256Gcm} it keeps derived keys for as long as it lives, and leaves traces of plaintexts to the engine: for
 * plaintexts that cross sockets anyway.
 */
export class MessageKeys {
  readonly #key: KeyObject
  /** By the first half of a nonce, in hex; the one used last comes last. */
  readonly #kept = new Map<string, KeyObject>()
  #half: Uint8Array | undefined
  #halfKey: KeyObject | undefined
  #messagesLeft = 0

  /**
   * @param key - secret key of 32 bytes.
   * @throws {@link EnvelopeError} `ENVELOPE_INPUT_INVALID`.
   */
  constructor(key: KeyObject) {
    if (key.symmetricKeySize !== XAES_KEY_BYTES) {
      throw new EnvelopeError('ENVELOPE_INPUT_INVALID', `the key is not a secret key of ${XAES_KEY_BYTES} bytes`)
    }
    this.#key = key
  }

  /** A nonce for one message. From a random source that gives something else than 24 bytes it is as long as what came. */
  nextNonce(randomBytes: (byteLength: number) => Uint8Array): Uint8Array {
    const nonce = randomBytes(XAES_NONCE_BYTES)
    if (nonce.byteLength !== XAES_NONCE_BYTES) return nonce
    if (this.#half === undefined || this.#messagesLeft === 0) {
      this.#half = nonce.slice(0, HALF_NONCE_BYTES)
      this.#halfKey = this.#derive(nonce)
      this.#messagesLeft = MAX_MESSAGES_PER_HALF
    }
    this.#messagesLeft -= 1
    nonce.set(this.#half)
    return nonce
  }

  /** @param message.nonce - of {@link nextNonce}, for this message. */
  encrypt(message: Message & { readonly plaintext: Uint8Array }): Encrypted {
    return encryptByDerivedKey(this.#keyOf(message.nonce), message)
  }

  /** @returns The plaintext in an array of its own, owned by the caller; `null` if it is not authentic. */
  decrypt(message: Message & Encrypted): Uint8Array | null {
    return decryptByDerivedKey(this.#keyOf(message.nonce), message, (decipher, ciphertext) =>
      decipher.update(ciphertext),
    )
  }

  /** The derived key of a nonce. Somebody else may choose the nonces: those that nobody uses again give way to others. */
  #keyOf(nonce: Uint8Array): KeyObject {
    if (this.#halfKey !== undefined && this.#half !== undefined) {
      if (Buffer.compare(this.#half, nonce.subarray(0, HALF_NONCE_BYTES)) === 0) return this.#halfKey
    }
    const half = Buffer.from(nonce.buffer, nonce.byteOffset, HALF_NONCE_BYTES).toString('hex')
    const kept = this.#kept.get(half)
    if (kept !== undefined) this.#kept.delete(half)
    const key = kept ?? this.#derive(nonce)
    this.#kept.set(half, key)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT_KEYS && oldest !== undefined) this.#kept.delete(oldest)
    return key
  }

  #derive(nonce: Uint8Array): KeyObject {
    const bytes = deriveXaesKey(this.#key, nonce)
    try {
      return createSecretKey(bytes)
    } finally {
      bytes.fill(0)
    }
  }
}
