import { createHash, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { hex, textBytes, uint32 } from './bytes.ts'
import { KeyringError } from './keyring-error.ts'
import { type Generation, KEY_CHECK_BYTES } from './keyring.ts'
import { SEAL_TYPES } from './registry.ts'
import { ID_BYTES, KEY_BYTES, type SealType } from './seal.ts'

/** What each derived value is for. No two are the same, so no two derived values have anything to do with each other. */
const INFO_CLUSTER_ID = 'sealwright keyring v1 cluster id'
const INFO_KEY_CHECK = 'sealwright keyring v1 key check'
const INFO_KEY_ID = 'sealwright keyring v1 key id'
const INFO_BLOB_KEY = 'sealwright keyring v1 blob key'
const INFO_MAC_KEY = 'sealwright keyring v1 mac key'
const INFO_LINK_KEY = 'sealwright keyring v1 link key'
const LABEL_SEAL_ID = 'sealwright keyring v1 seal id'

/** Derived part of a key id, in bytes: enough that two generations never share one. */
const KEY_ID_BYTES = 8
const NO_SALT = new Uint8Array()

/**
 * Refuses what cannot be a seal key.
 *
 * @throws {@link KeyringError} `KEYRING_SEAL_KEY_INVALID` if it is not 32 bytes long or all zeros.
 */
export function assertSealKey(sealKey: Secret): void {
  if (sealKey.byteLength !== KEY_BYTES) {
    throw new KeyringError('KEYRING_SEAL_KEY_INVALID', `seal key of ${sealKey.byteLength} bytes, not ${KEY_BYTES}`)
  }
  if (sealKey.reveal(bytes => bytes.reduce((seen, byte) => seen | byte, 0)) === 0) {
    throw new KeyringError('KEYRING_SEAL_KEY_INVALID', 'the seal key is all zeros')
  }
}

/** The id of the cluster whose first seal key this is, 16 bytes: nodes that start from one key agree on it. */
export function deriveClusterId(firstSealKey: Secret): Uint8Array {
  return derivePublic(firstSealKey, INFO_CLUSTER_ID, ID_BYTES)
}

/** The value that recognises a seal key, 16 bytes. */
export function deriveKeyCheck(sealKey: Secret): Uint8Array {
  return derivePublic(sealKey, INFO_KEY_CHECK, KEY_CHECK_BYTES)
}

/** The key id where none is given: `sw-` and 16 hex digits. */
export function deriveKeyId(sealKey: Secret): string {
  return `sw-${hex(derivePublic(sealKey, INFO_KEY_ID, KEY_ID_BYTES))}`
}

/** Whether `sealKey` is the key of `generation`. */
export function isKeyOf(generation: Generation, sealKey: Secret): boolean {
  return timingSafeEqual(deriveKeyCheck(sealKey), generation.keyCheck)
}

/** Encrypts what OpenBao hands to its seal. */
export function deriveBlobKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_BLOB_KEY)
}

/** Authenticates the keyring. */
export function deriveMacKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_MAC_KEY)
}

/** Wraps the next seal key. Used once and wiped by the caller, unlike the two above, which live as long as the agent. */
export function deriveLinkKey(sealKey: Secret, clusterId: Uint8Array): Secret {
  return new Secret(deriveKeyBytes(sealKey, clusterId, INFO_LINK_KEY))
}

/**
 * The id of a seal, 16 bytes, from its type and the name it had at creation: nodes that make the same seal on their own
 * agree on it. A later name does not change it.
 *
 * @see docs/formats/keyring.md §6.3
 */
export function deriveSealId(clusterId: Uint8Array, sealType: SealType, nameAtCreation: string): Uint8Array {
  const hash = createHash('sha256')
  for (const field of [
    textBytes(LABEL_SEAL_ID),
    clusterId,
    Uint8Array.of(SEAL_TYPES.numbers[sealType]),
    textBytes(nameAtCreation),
  ]) {
    hash.update(uint32(field.byteLength)).update(field)
  }
  return Uint8Array.from(hash.digest().subarray(0, ID_BYTES))
}

function derivePublic(sealKey: Secret, info: string, byteLength: number): Uint8Array {
  return sealKey.reveal(bytes => new Uint8Array(hkdfSync('sha256', bytes, NO_SALT, info, byteLength)))
}

function deriveKey(sealKey: Secret, clusterId: Uint8Array, info: string): KeyObject {
  const bytes = deriveKeyBytes(sealKey, clusterId, info)
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

function deriveKeyBytes(sealKey: Secret, clusterId: Uint8Array, info: string): Uint8Array {
  return sealKey.reveal(bytes => new Uint8Array(hkdfSync('sha256', bytes, clusterId, info, KEY_BYTES)))
}
