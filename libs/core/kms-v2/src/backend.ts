import { type Secret } from '@sealwright/secret'
import { type KmsCall } from './service.ts'

/** Who keeps the key. The numbers on the wire are in `ciphertext.ts`. */
export type KmsProvider = 'transit' | 'keyring'

/** One version of a key, as its backend describes it. */
export interface KeyVersion {
  /** From 1, growing by each rotation. */
  readonly version: number
  /** 16 bytes that no other key has at this version: a key that was deleted and made anew under its old name has others. */
  readonly lineage: Uint8Array
  /** When the backend made it, in milliseconds since 1970: the same for every node that asks. */
  readonly createdAtMs: number
}

/** What a backend says of its key at one moment. */
export interface KeyObservation {
  /** All that can be used, at least one, in the order of their numbers. */
  readonly versions: readonly KeyVersion[]
  /** Older ones do not decrypt any more. */
  readonly oldestDecryptable: number
  /** Older ones do not encrypt any more. */
  readonly oldestEncryptable: number
}

/**
 * A key in versions that somebody else keeps. Each function may throw `KmsError`: `KMS_BACKEND_UNAVAILABLE`, `KMS_BACKEND_REFUSED`,
 * `KMS_BACKEND_BROKEN`, `KMS_KEY_GONE`, `KMS_VERSION_RETIRED`, `KMS_DEADLINE_EXCEEDED`, `KMS_CANCELLED`, `KMS_STOPPING`.
 */
export interface KmsBackend extends AsyncDisposable {
  readonly provider: KmsProvider
  /** Looks at the key. Asks the backend. */
  readonly observe: (call: KmsCall) => Promise<KeyObservation>
  /**
   * Encrypts by one version of the key.
   *
   * @param options.plaintext - stays the caller's.
   * @returns 1 to 998 bytes that `decrypt` takes.
   */
  readonly encrypt: (
    options: { readonly version: number; readonly plaintext: Secret; readonly associatedData: Uint8Array },
    call: KmsCall,
  ) => Promise<Uint8Array>
  /**
   * Decrypts what `encrypt` made by the same version with the same associated data.
   *
   * @returns the caller's, who wipes it.
   * @throws besides: `KMS_CIPHERTEXT_REFUSED`.
   */
  readonly decrypt: (
    options: { readonly version: number; readonly wrapped: Uint8Array; readonly associatedData: Uint8Array },
    call: KmsCall,
  ) => Promise<Secret>
}
