import { type EtcdEntry } from '@sealwright/etcd'
import { KmsError, keyIdOf, parseCiphertext } from '@sealwright/kms-v2'
import { type EncryptedObject, KubeStorageError, parseStoredValue, type StoredValue } from '@sealwright/kube-storage'
import { type KeyFacts } from '../key-facts.ts'

/** What every key id of a Sealwright plugin begins with, of any format (docs/formats/kms-ciphertext.md §2). */
const KEY_ID_PREFIX = 'sealwright.'

/** How one object is stored, seen from one key. */
export type Finding =
  /** By a version of the key that the backend has, or has had. */
  | { readonly kind: 'ours'; readonly provider: string; readonly version: number; readonly keyId: string }
  /** By a Sealwright plugin, and by none of this key: another cluster id, another backend, or a key that was replaced. */
  | { readonly kind: 'lost'; readonly provider: string; readonly version: number; readonly keyId: string }
  /** By another KMS plugin. */
  | { readonly kind: 'other-kms'; readonly provider: string; readonly keyId: string }
  | Exclude<StoredValue, { kind: 'kms-v2' }>
  /** It says that it is by KMS v2, or by a Sealwright plugin, and cannot be read: nobody knows by which key. */
  | { readonly kind: 'damaged' }

/** Looks at one object. Decrypts nothing. */
export function findingOf(value: EtcdEntry['value'], key: KeyFacts): Finding {
  try {
    const stored = parseStoredValue(value)
    return stored.kind === 'kms-v2' ? ofKms(stored.provider, stored.object, key) : stored
  } catch (error) {
    if (error instanceof KubeStorageError) return { kind: 'damaged' }
    throw error
  }
}

function ofKms(provider: string, { keyId, encryptedDekSource }: EncryptedObject, key: KeyFacts): Finding {
  const made = ciphertextOf(encryptedDekSource)
  // Its key id is ours, and nothing that we make is behind it: no other plugin's either.
  if (made === null && keyId.startsWith(KEY_ID_PREFIX)) return { kind: 'damaged' }
  if (made === null) return { kind: 'other-kms', provider, keyId }
  const { version, lineage } = made
  const isOurs =
    made.provider === key.provider &&
    keyId === keyIdOf({ provider: key.provider, clusterId: key.clusterId, version, lineage }) &&
    isOfThisKey(version, keyId, key)
  return { kind: isOurs ? 'ours' : 'lost', provider, version, keyId }
}

/** Whether the backend has this version, or may have had it: what it has retired it does not describe any more. */
function isOfThisKey(version: number, keyId: string, { versions, oldestDecryptable }: KeyFacts): boolean {
  const known = versions.find(each => each.version === version)
  return known === undefined ? version < oldestDecryptable : known.keyId === keyId
}

/** Null: not made by a Sealwright plugin. */
function ciphertextOf(bytes: Uint8Array) {
  try {
    return parseCiphertext(bytes)
  } catch (error) {
    if (error instanceof KmsError && error.code === 'KMS_CIPHERTEXT_REFUSED') return null
    throw error
  }
}
