import { type EncryptedObject, parseEncryptedObject } from './encrypted-object.ts'
import { malformed } from './errors.ts'

/** Encryption by a key that lies in the configuration of kube-apiserver itself. */
export type LocalMethod = 'aescbc' | 'aesgcm' | 'secretbox'

/** How kube-apiserver stores one object. */
export type StoredValue =
  | { readonly kind: 'kms-v2'; readonly provider: string; readonly object: EncryptedObject }
  /** Deprecated, and nothing in it names a key. */
  | { readonly kind: 'kms-v1'; readonly provider: string }
  | { readonly kind: 'local'; readonly method: LocalMethod; readonly keyName: string }
  /** Begins as all that is encrypted does, by a method that we do not know. */
  | { readonly kind: 'unknown-encryption' }
  | { readonly kind: 'plaintext' }

/** What everything that is encrypted begins with (k8s.io/apiserver, options/encryptionconfig/config.go). */
const ENCRYPTED = ascii('k8s:enc:')
const KMS_V2 = ascii('k8s:enc:kms:v2:')
const KMS_V1 = ascii('k8s:enc:kms:v1:')
const LOCAL: readonly (readonly [LocalMethod, Uint8Array])[] = [
  ['aescbc', ascii('k8s:enc:aescbc:v1:')],
  ['aesgcm', ascii('k8s:enc:aesgcm:v1:')],
  ['secretbox', ascii('k8s:enc:secretbox:v1:')],
]

const COLON = 0x3a
/** kube-apiserver sets none; longer ones do not fit a line. */
const MAX_NAME_BYTES = 253

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Tells how the value of a key in etcd is stored, and takes apart what is encrypted by KMS v2. Decrypts nothing.
 *
 * @param bytes - the whole value. What is returned holds views of it.
 * @throws {KubeStorageError} `KUBE_STORAGE_MALFORMED` for a value by KMS v2 that is damaged.
 */
export function parseStoredValue(bytes: Uint8Array): StoredValue {
  if (!startsWith(bytes, ENCRYPTED)) return { kind: 'plaintext' }
  if (startsWith(bytes, KMS_V2)) {
    const named = splitName(bytes.subarray(KMS_V2.byteLength))
    if (named === null) throw malformed('it names no provider')
    return { kind: 'kms-v2', provider: named.name, object: parseEncryptedObject(named.rest) }
  }
  if (startsWith(bytes, KMS_V1)) {
    const named = splitName(bytes.subarray(KMS_V1.byteLength))
    return named === null ? { kind: 'unknown-encryption' } : { kind: 'kms-v1', provider: named.name }
  }
  for (const [method, prefix] of LOCAL) {
    if (!startsWith(bytes, prefix)) continue
    const named = splitName(bytes.subarray(prefix.byteLength))
    return named === null ? { kind: 'unknown-encryption' } : { kind: 'local', method, keyName: named.name }
  }
  return { kind: 'unknown-encryption' }
}

/** The name up to the next colon, which kube-apiserver allows in no name; null if there is none. */
function splitName(bytes: Uint8Array): { readonly name: string; readonly rest: Uint8Array } | null {
  const end = bytes.subarray(0, MAX_NAME_BYTES + 1).indexOf(COLON)
  if (end < 1) return null
  try {
    return { name: UTF8.decode(bytes.subarray(0, end)), rest: bytes.subarray(end + 1) }
  } catch {
    return null
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.byteLength >= prefix.byteLength && prefix.every((byte, index) => bytes[index] === byte)
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
