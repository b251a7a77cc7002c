import { randomBytes } from 'node:crypto'
import { sameBytes } from '@sealwright/bytes'
import { decryptEnvelope, encryptEnvelope, MessageKeys } from '@sealwright/envelope'
import { type KmsGeneration, type OpenKmsKeyring } from '@sealwright/keyring'
import { type KeyObservation, KmsError } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'
import { KmsKeyringError } from './keyring-error.ts'
import { refusedCiphertext } from './keyring-failure.ts'

/** A version whose key is at hand. */
export interface HeldVersion {
  readonly id: Uint8Array
  readonly key: MessageKeys
}

/** The versions of an open keyring: what it says of them, and what encrypts by them. */
export interface KeyringVersions {
  /** By number: to be handed on when the keyring is opened anew. */
  readonly held: ReadonlyMap<number, HeldVersion>
  readonly observation: KeyObservation
  /** @throws {KmsError} `KMS_VERSION_RETIRED`, `KMS_KEY_GONE`. */
  readonly encrypt: (version: number, plaintext: Secret, associatedData: Uint8Array) => Uint8Array
  /** @throws {KmsError} `KMS_CIPHERTEXT_REFUSED`, `KMS_VERSION_RETIRED`, `KMS_KEY_GONE`. */
  readonly decrypt: (version: number, wrapped: Uint8Array, associatedData: Uint8Array) => Secret
}

/**
 * @param before - held until now. What an older keyring in the store does not list, or its seal does not reach, goes on decrypting until a
 *   restart; only what is retired, or has another id, ends.
 */
export function keyringVersions(
  open: OpenKmsKeyring,
  before: ReadonlyMap<number, HeldVersion> = new Map(),
): KeyringVersions {
  const held = new Map(before)
  for (const { number, id, key, state } of open.generations) {
    const known = before.get(number)
    const isKnown = known !== undefined && sameBytes(known.id, id)
    if (state === 'retired' || !isKnown) held.delete(number)
    if (state !== 'retired' && !isKnown && key !== undefined) held.set(number, { id, key: new MessageKeys(key) })
  }
  const support = supportOf(open.generations)

  const requireHeld = (version: number): HeldVersion => {
    const found = held.get(version)
    if (found !== undefined) return found
    if (version < support.oldestEncryptable) {
      throw new KmsError(
        'KMS_VERSION_RETIRED',
        'this version of the key was retired, and decrypts no more: sealctl kms keyring restore takes that back',
      )
    }
    throw new KmsError('KMS_KEY_GONE', 'the keyring of the KMS plugin does not have this version of the key')
  }

  return {
    held,
    observation: {
      versions: open.generations
        .filter(({ key }) => key !== undefined)
        .map(({ number, id, notBeforeMs }) => ({ version: number, lineage: id, createdAtMs: notBeforeMs })),
      ...support,
    },
    encrypt: (version, plaintext, associatedData) => {
      const { id, key } = requireHeld(version)
      return plaintext.reveal(bytes =>
        encryptEnvelope({
          ...{ key, purpose: 'kms-seed', keyRef: id, context: [associatedData], plaintext: bytes },
          // The nonces are public.
          randomBytes,
        }),
      )
    },
    decrypt: (version, wrapped, associatedData) => {
      const { key } = requireHeld(version)
      try {
        return new Secret(decryptEnvelope({ key, purpose: 'kms-seed', context: [associatedData], bytes: wrapped }))
      } catch (error) {
        throw refusedCiphertext(error)
      }
    },
  }
}

/** What the versions of a keyring are still good for, in the order of their numbers. */
export function supportOf(
  generations: readonly Pick<KmsGeneration, 'number' | 'state'>[],
): Pick<KeyObservation, 'oldestDecryptable' | 'oldestEncryptable'> {
  const retiredUpTo = generations.reduce((last, { number, state }) => (state === 'retired' ? number : last), 0)
  return {
    // Versions that were taken back may be older than one that stays retired.
    oldestDecryptable: generations.find(({ state }) => state !== 'retired')?.number ?? retiredUpTo + 1,
    oldestEncryptable: retiredUpTo + 1,
  }
}

/**
 * Whether one keyring may take the place of another that is open: it goes on from it, or is an older one of the same.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_FORKED` if it is of another cluster, or goes on from an older version than the current one.
 */
export function assertSucceeds(before: OpenKmsKeyring, after: OpenKmsKeyring): void {
  const has = (open: OpenKmsKeyring, one: KmsGeneration | undefined): boolean =>
    one !== undefined && open.generations.some(({ id }) => sameBytes(id, one.id))
  if (has(after, before.generations.at(-1)) || has(before, after.generations.at(-1))) return
  throw new KmsKeyringError(
    'KMS_KEYRING_FORKED',
    'the keyring in the store does not have the version of the key that is in use: it is of another cluster, or two nodes have rotated at once',
  )
}
