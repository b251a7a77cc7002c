import { type Secret } from '@sealwright/secret'

import { type RecordMethod } from './registry.ts'

/** Length of every id that is bound as associated data, in bytes. */
export const ID_BYTES = 16

/** Length of a key-encryption key and of the seal key, in bytes. */
export const KEY_BYTES = 32

/** The kinds of seal a record can belong to. */
export type SealType = 'tpm' | 'pkcs11' | 'transit' | 'shamir'

/**
 * One member of a seal, able to keep a random 32-byte key-encryption key (KEK) for us.
 *
 * Every seal type does the same small thing: it makes a KEK openable by itself alone. What the KEK
 * wraps, and under which associated data, is the keyring's business. Implemented by adapters.
 */
export interface SealMember {
  readonly sealType: SealType
  /** Immutable id of this member (16 bytes), for a TPM derived from the name of its storage key. */
  readonly memberId: Uint8Array
  /** The public key that others can wrap for this member with, in the form of its seal type; absent if there is none. */
  readonly wrappingKey?: Uint8Array
  /** How {@link SealMember.sealKek} makes what it returns. */
  readonly method: RecordMethod
  /** Makes `kek` openable by this member. Does not take ownership of `kek`. */
  sealKek(kek: Secret, options: { readonly signal: AbortSignal }): Promise<Uint8Array>
  /**
   * Opens what {@link SealMember.sealKek} made, or another made for this member. The caller owns, and wipes, the returned
   * secret.
   *
   * @param options.method - how the record says that `sealedKek` was made: a member refuses one that was made otherwise.
   */
  unsealKek(
    sealedKek: Uint8Array,
    options: { readonly signal: AbortSignal; readonly method: RecordMethod },
  ): Promise<Secret>
}
