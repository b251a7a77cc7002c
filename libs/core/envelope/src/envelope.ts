import { encodeAssociatedData } from './associated-data.ts'
import { EnvelopeError } from './envelope-error.ts'
import { MessageKeys } from './message-keys.ts'
import { encodeHeader, type EnvelopePurpose, MAX_KEY_REF_BYTES, MAX_PLAINTEXT_BYTES, parseEnvelope } from './format.ts'
import {
  decryptXaes256Gcm,
  encryptXaes256Gcm,
  type EnvelopeKey,
  keyLengthOf,
  XAES_KEY_BYTES,
  XAES_NONCE_BYTES,
  XAES_TAG_BYTES,
} from './xaes-256-gcm.ts'

/** A source of unpredictable bytes, such as `randomBytes` of `node:crypto`: each call gives a fresh array to its caller. */
export type RandomBytes = (byteLength: number) => Uint8Array

/** What an envelope is made from. */
export interface EncryptEnvelopeInput {
  /** Secret key of 32 bytes, or what makes many messages by one. Stays the caller's. */
  readonly key: EnvelopeKey | MessageKeys
  readonly purpose: EnvelopePurpose
  /** Names `key` for whoever decrypts: 1 to 64 bytes, readable by everybody. */
  readonly keyRef: Uint8Array
  /** What must be the same at decryption, and is not carried: up to 16 fields of up to 65,536 bytes. */
  readonly context: readonly Uint8Array[]
  /** 1 byte to 1 MiB. Stays the caller's, who wipes it. */
  readonly plaintext: Uint8Array
  readonly randomBytes: RandomBytes
}

/** What an envelope is decrypted with. */
export interface DecryptEnvelopeInput {
  /** Secret key of 32 bytes, or what takes many messages by one. Stays the caller's. */
  readonly key: EnvelopeKey | MessageKeys
  readonly purpose: EnvelopePurpose
  readonly context: readonly Uint8Array[]
  /** The envelope. */
  readonly bytes: Uint8Array
}

/**
 * Encrypts a plaintext into an envelope, under a fresh random nonce of 192 bits.
 *
 * @returns The envelope, owned by the caller: the plaintext and 52 bytes plus the key reference.
 * @throws {@link EnvelopeError} `ENVELOPE_INPUT_INVALID`, or `ENVELOPE_TOO_LARGE` for a plaintext over 1 MiB.
 * @see docs/formats/envelope.md §4
 */
export function encryptEnvelope(input: EncryptEnvelopeInput): Uint8Array {
  const { key, purpose, keyRef, context, plaintext, randomBytes } = input
  assertKey(key)
  if (keyRef.byteLength === 0 || keyRef.byteLength > MAX_KEY_REF_BYTES) {
    throw inputInvalid(`key reference of ${keyRef.byteLength} bytes, 1 to ${MAX_KEY_REF_BYTES} allowed`)
  }
  if (plaintext.byteLength === 0) throw inputInvalid('the plaintext is empty')
  if (plaintext.byteLength > MAX_PLAINTEXT_BYTES) {
    throw new EnvelopeError(
      'ENVELOPE_TOO_LARGE',
      `plaintext of ${plaintext.byteLength} bytes, at most ${MAX_PLAINTEXT_BYTES} allowed`,
    )
  }
  const nonce = key instanceof MessageKeys ? key.nextNonce(randomBytes) : randomBytes(XAES_NONCE_BYTES)
  if (nonce.byteLength !== XAES_NONCE_BYTES) {
    throw inputInvalid(`the random source gave ${nonce.byteLength} bytes, not ${XAES_NONCE_BYTES}`)
  }
  const header = encodeHeader({ purpose, keyRef, nonce, ciphertextBytes: plaintext.byteLength })
  const additionalData = encodeAssociatedData(header, context)
  const { ciphertext, tag } =
    key instanceof MessageKeys
      ? key.encrypt({ nonce, additionalData, plaintext })
      : encryptXaes256Gcm({ key, nonce, additionalData, plaintext })
  const envelope = new Uint8Array(header.byteLength + ciphertext.byteLength + XAES_TAG_BYTES)
  envelope.set(header)
  envelope.set(ciphertext, header.byteLength)
  envelope.set(tag, header.byteLength + ciphertext.byteLength)
  return envelope
}

/**
 * Decrypts an envelope and proves that no bit of it, nor of the context, is other than at encryption.
 *
 * @returns The plaintext in an array of its own, owned by the caller, who wipes it.
 * @throws {@link EnvelopeError} `ENVELOPE_MALFORMED`, `ENVELOPE_UNSUPPORTED`, `ENVELOPE_TOO_LARGE` as {@link parseEnvelope};
 *   `ENVELOPE_PURPOSE_MISMATCH`; `ENVELOPE_AUTH_FAILED`; `ENVELOPE_INPUT_INVALID` for the caller's key or context.
 * @see docs/formats/envelope.md §5
 */
export function decryptEnvelope(input: DecryptEnvelopeInput): Uint8Array {
  const { key, purpose, context, bytes } = input
  assertKey(key)
  const { purpose: madeFor, header, nonce, ciphertext, tag } = parseEnvelope(bytes)
  if (madeFor !== purpose) {
    throw new EnvelopeError('ENVELOPE_PURPOSE_MISMATCH', `an envelope for ${madeFor}, not for ${purpose}`)
  }
  const additionalData = encodeAssociatedData(header, context)
  const encrypted = { nonce, additionalData, ciphertext, tag }
  const plaintext = key instanceof MessageKeys ? key.decrypt(encrypted) : decryptXaes256Gcm({ key, ...encrypted })
  if (plaintext === null) {
    throw new EnvelopeError('ENVELOPE_AUTH_FAILED', 'the key or the context does not fit, or the envelope was changed')
  }
  return plaintext
}

function assertKey(key: EnvelopeKey | MessageKeys): void {
  if (key instanceof MessageKeys) return
  if (keyLengthOf(key) !== XAES_KEY_BYTES) {
    throw inputInvalid(`the key is not a secret key of ${XAES_KEY_BYTES} bytes`)
  }
}

function inputInvalid(reason: string): EnvelopeError {
  return new EnvelopeError('ENVELOPE_INPUT_INVALID', reason)
}
