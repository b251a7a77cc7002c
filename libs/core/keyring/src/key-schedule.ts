import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto'

import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { hex, lengthPrefixed, textBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type Generation, SIGNING_KEY_BYTES } from './keyring.ts'
import { SEAL_TYPES } from './registry.ts'
import { ID_BYTES, KEY_BYTES, type SealType } from './seal.ts'

/** What each derived value is for. No two are the same, so no two derived values have anything to do with each other. */
const INFO_GENERATION_ID = 'sealwright keyring v1 generation id'
const INFO_SIGNING_KEY = 'sealwright keyring v1 signing key'
const INFO_KEY_ID = 'sealwright keyring v1 key id'
const INFO_BLOB_KEY = 'sealwright keyring v1 blob key'
const INFO_MAC_KEY = 'sealwright keyring v1 mac key'
const INFO_LINK_KEY = 'sealwright keyring v1 link key'
const INFO_AUDIT_KEY = 'sealwright keyring v1 audit key'
const INFO_KMS_KEY = 'sealwright keyring v1 kms key'
const LABEL_CLUSTER_ID = 'sealwright keyring v1 cluster id'
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

/** The value that recognises a seal key, 16 bytes. */
export function deriveGenerationId(sealKey: Secret): Uint8Array {
  return derivePublic(sealKey, INFO_GENERATION_ID, ID_BYTES)
}

/**
 * The id of the cluster, 16 bytes, from the public signing key of its first generation: nodes that start from one seal key agree on
 * it, and nobody without that key can make a lineage of generations that begins with it.
 */
export function deriveClusterId(firstSigningKey: Uint8Array): Uint8Array {
  return hashOf([textBytes(LABEL_CLUSTER_ID), firstSigningKey]).subarray(0, ID_BYTES)
}

/** PKCS#8 (RFC 8410 §7) of an Ed25519 private key, up to its 32 bytes. */
const PKCS8_PREFIX = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32)

/** The Ed25519 key by which a generation vouches for the next. For a moment: what runs for long does not keep it. */
export function deriveSigningKey(sealKey: Secret): KeyObject {
  const der = allocateKeyBytes(PKCS8_PREFIX.byteLength + KEY_BYTES)
  const seed = sealKey.reveal(bytes => new Uint8Array(hkdfSync('sha256', bytes, NO_SALT, INFO_SIGNING_KEY, KEY_BYTES)))
  try {
    der.set(PKCS8_PREFIX)
    der.set(seed, PKCS8_PREFIX.byteLength)
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
    seed.fill(0)
  }
}

/** What checks the signatures of {@link deriveSigningKey}, 32 bytes. */
export function derivePublicSigningKey(sealKey: Secret): Uint8Array {
  const spki = createPublicKey(deriveSigningKey(sealKey)).export({ format: 'der', type: 'spki' })
  return Uint8Array.from(spki.subarray(-SIGNING_KEY_BYTES))
}

/** The key id where none is given: `sw-` and 16 hex digits. */
export function deriveKeyId(sealKey: Secret): string {
  return `sw-${hex(derivePublic(sealKey, INFO_KEY_ID, KEY_ID_BYTES))}`
}

/**
 * Whether `sealKey` is the key of `generation`: it gives both the id and the signing key. Whoever holds the key of the parent can
 * sign a generation that has the one and not the other.
 */
export function isKeyOf({ id, signingKey }: Generation, sealKey: Secret): boolean {
  return (
    timingSafeEqual(deriveGenerationId(sealKey), id) && timingSafeEqual(derivePublicSigningKey(sealKey), signingKey)
  )
}

/** Encrypts what OpenBao hands to its seal. */
export function deriveBlobKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_BLOB_KEY)
}

/** Authenticates the keyring. */
export function deriveMacKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_MAC_KEY)
}

/** Vouches for the audit log of a node, and for nothing else. */
export function deriveAuditKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_AUDIT_KEY)
}

/** Encrypts what kube-apiserver hands to the KMS plugin. Derived for that plugin alone: nothing that serves OpenBao has it. */
export function deriveKmsKey(sealKey: Secret, clusterId: Uint8Array): KeyObject {
  return deriveKey(sealKey, clusterId, INFO_KMS_KEY)
}

/** Wraps the next seal key. Used once and wiped by the caller, unlike those above, which live as long as the agent. */
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
  return hashOf([
    textBytes(LABEL_SEAL_ID),
    clusterId,
    Uint8Array.of(SEAL_TYPES.numbers[sealType]),
    textBytes(nameAtCreation),
  ]).subarray(0, ID_BYTES)
}

/** SHA-256 over fields, each behind its length in 32 bits. */
function hashOf(fields: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(lengthPrefixed(fields)).digest())
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
