import { malformed } from './errors.ts'
import { readFields, type WireField } from './wire.ts'

/** What the plaintext of the encrypted source is: the key of AES-GCM itself, or a seed that one key an object is derived from. */
export type DekSourceType = 'aes-gcm-key' | 'hkdf-sha256-xnonce-aes-gcm-seed'

/** What kube-apiserver stores of an object that is encrypted by KMS v2. All bytes are views. */
export interface EncryptedObject {
  /** The object itself, encrypted by kube-apiserver. */
  readonly encryptedData: Uint8Array
  /** 1 to 1,024 bytes of UTF-8: what the KMS plugin called its key. */
  readonly keyId: string
  /** 1 to 1,024 bytes: what the KMS plugin encrypted. */
  readonly encryptedDekSource: Uint8Array
  /** 32 KiB in all; names are domain names. */
  readonly annotations: ReadonlyMap<string, Uint8Array>
  readonly encryptedDekSourceType: DekSourceType
}

/** Limits of kube-apiserver (k8s.io/apiserver, envelope/kmsv2/envelope.go, `KeyIDMaxSize` and others), in bytes. */
const MAX_KEY_ID_BYTES = 1_024
const MAX_DEK_SOURCE_BYTES = 1_024
const MAX_ANNOTATIONS_BYTES = 32_768

/** Numbers of the fields (k8s.io/apiserver, envelope/kmsv2/v2/api.proto, `EncryptedObject`). */
const ENCRYPTED_DATA = 1
const KEY_ID = 2
const ENCRYPTED_DEK_SOURCE = 3
const ANNOTATIONS = 4
const ENCRYPTED_DEK_SOURCE_TYPE = 5

/** Of an entry of a map (protobuf.dev, "Maps"). */
const ENTRY_KEY = 1
const ENTRY_VALUE = 2

/** `enum EncryptedDEKSourceType`. */
const SOURCE_TYPES: ReadonlyMap<number, DekSourceType> = new Map([
  [0, 'aes-gcm-key'],
  [1, 'hkdf-sha256-xnonce-aes-gcm-seed'],
])
const ENUM_BITS = 32

/** Fully qualified (RFC 1123): what kube-apiserver asks of the name of an annotation, one dot at the end being allowed. */
const LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?'
const DOMAIN_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})+\\.?$`)
const MAX_DOMAIN_NAME_CHARS = 253
const MAX_DOMAIN_LABEL_CHARS = 63

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Parses an `EncryptedObject` as kube-apiserver does, so that what is counted here is what it would decrypt: a field that comes twice counts as it came
 * last, and fields that it does not know are passed over; all its limits hold.
 *
 * @param bytes - what stands behind `k8s:enc:kms:v2:NAME:`.
 * @throws {KubeStorageError} `KUBE_STORAGE_MALFORMED`.
 */
export function parseEncryptedObject(bytes: Uint8Array): EncryptedObject {
  const fields = readFields(bytes)
  const encryptedData = lastBytes(fields, ENCRYPTED_DATA)
  const keyIds = bytesOf(fields, KEY_ID).map(value => text(value, 'keyID'))
  const keyId = keyIds.at(-1) ?? ''
  const encryptedDekSource = lastBytes(fields, ENCRYPTED_DEK_SOURCE)
  assertLength('encryptedData', encryptedData.byteLength, Infinity)
  assertLength('keyID', Buffer.byteLength(keyId), MAX_KEY_ID_BYTES)
  assertLength('encryptedDEKSource', encryptedDekSource.byteLength, MAX_DEK_SOURCE_BYTES)
  return {
    ...{ encryptedData, keyId, encryptedDekSource },
    annotations: annotationsOf(fields),
    encryptedDekSourceType: sourceTypeOf(fields),
  }
}

function bytesOf(fields: readonly WireField[], number: number): readonly Uint8Array[] {
  return fields.flatMap(each => (each.field === number && each.kind === 'bytes' ? [each.value] : []))
}

/** Empty if it is not there. */
function lastBytes(fields: readonly WireField[], number: number): Uint8Array {
  return bytesOf(fields, number).at(-1) ?? new Uint8Array()
}

function assertLength(name: string, byteLength: number, max: number): void {
  if (byteLength === 0) throw malformed(`it has no ${name}`)
  if (byteLength > max) throw malformed(`its ${name} is too long`)
}

function sourceTypeOf(fields: readonly WireField[]): DekSourceType {
  const last = fields.findLast(({ field, kind }) => field === ENCRYPTED_DEK_SOURCE_TYPE && kind === 'number')
  const type = SOURCE_TYPES.get(last?.kind === 'number' ? Number(BigInt.asIntN(ENUM_BITS, last.value)) : 0)
  if (type === undefined) throw malformed('its encryptedDEKSourceType is unknown')
  return type
}

function annotationsOf(fields: readonly WireField[]): ReadonlyMap<string, Uint8Array> {
  const annotations = new Map<string, Uint8Array>()
  for (const entry of bytesOf(fields, ANNOTATIONS)) {
    const parts = readFields(entry)
    const names = bytesOf(parts, ENTRY_KEY).map(value => text(value, 'name of an annotation'))
    annotations.set(names.at(-1) ?? '', lastBytes(parts, ENTRY_VALUE))
  }
  let byteLength = 0
  for (const [name, value] of annotations) {
    if (!isDomainName(name)) throw malformed('the name of an annotation is no domain name')
    byteLength += Buffer.byteLength(name) + value.byteLength
  }
  if (byteLength > MAX_ANNOTATIONS_BYTES) throw malformed('its annotations are too long')
  return annotations
}

function isDomainName(name: string): boolean {
  const withoutDot = name.endsWith('.') ? name.slice(0, -1) : name
  return (
    withoutDot.length <= MAX_DOMAIN_NAME_CHARS &&
    DOMAIN_NAME.test(name) &&
    withoutDot.split('.').every(label => label.length <= MAX_DOMAIN_LABEL_CHARS)
  )
}

function text(bytes: Uint8Array, what: string): string {
  try {
    return UTF8.decode(bytes)
  } catch {
    throw malformed(`the ${what} is not UTF-8`)
  }
}
