import { createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'

import { MAX_PLAINTEXT_BYTES, updateWithoutTrace } from '@sealwright/envelope'
import { type Secret } from '@sealwright/secret'

import { KeyringError } from './keyring-error.ts'
import { type Generation } from './keyring.ts'
import { FIRST_GENERATION } from './lineage.ts'

/** Length of the nonce in a static blob, in bytes: AES-256-GCM (NIST SP 800-38D). */
const IV_BYTES = 12
/** Length of the tag at the end of its ciphertext, in bytes. */
const TAG_BYTES = 16

/** What OpenBao's own `seal "static"` has encrypted, as OpenBao stores it. */
export interface StaticBlob {
  /** As long as the plaintext, and the tag of 16 bytes. */
  readonly ciphertext: Uint8Array
  /** 12 bytes. */
  readonly iv: Uint8Array
  /** Chooses the key. Nothing authenticates it. */
  readonly keyId: string
}

/**
 * Whether static blobs may name this generation. Only a first seal key was ever the key of a `seal "static"`: Sealwright makes
 * the later ones. And no blob names a generation that is retired.
 */
export function mayHaveStaticBlobs({ number, state }: Pick<Generation, 'number' | 'state'>): boolean {
  return number === FIRST_GENERATION && state !== 'retired'
}

/** The key of static blobs: the seal key itself, in the memory of OpenSSL. For a cluster that was taken over only. */
export function staticBlobKey(sealKey: Secret): KeyObject {
  return sealKey.reveal(bytes => createSecretKey(bytes))
}

/**
 * Decrypts a blob of OpenBao's own `seal "static"`. Sealwright makes none.
 *
 * @param aad - what OpenBao gives along, empty so far.
 * @returns The plaintext, owned by the caller, who wipes it.
 * @throws {@link KeyringError} `KEYRING_STATIC_BLOB_MALFORMED`, `KEYRING_STATIC_BLOB_AUTH_FAILED`.
 * @see docs/formats/static-blob.md
 */
export function decryptStaticBlob(
  { ciphertext, iv }: Omit<StaticBlob, 'keyId'>,
  { key, aad }: { readonly key: KeyObject; readonly aad: Uint8Array },
): Uint8Array {
  const plaintextBytes = ciphertext.byteLength - TAG_BYTES
  if (iv.byteLength !== IV_BYTES || plaintextBytes < 1 || plaintextBytes > MAX_PLAINTEXT_BYTES) {
    throw new KeyringError(
      'KEYRING_STATIC_BLOB_MALFORMED',
      `not a blob of a static seal: a nonce of ${iv.byteLength} bytes and a ciphertext of ${ciphertext.byteLength}`,
    )
  }
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(aad)
  decipher.setAuthTag(ciphertext.subarray(plaintextBytes))
  const plaintext = updateWithoutTrace(decipher, ciphertext.subarray(0, plaintextBytes))
  try {
    decipher.final()
    return plaintext
  } catch (cause) {
    plaintext.fill(0)
    throw new KeyringError(
      'KEYRING_STATIC_BLOB_AUTH_FAILED',
      'a blob of the static seal does not decrypt: the seal key is not the one of the static seal, or the blob was changed',
      { cause },
    )
  }
}
