import { hash } from 'node:crypto'
import { type KmsProvider } from './backend.ts'
import { lengthPrefixed, sameBytes, textBytes } from '@sealwright/bytes'
import { KmsError } from './errors.ts'
import { type KeyIdentity, keyIdOf, LINEAGE_BYTES } from './key-id.ts'
import { type Annotations } from './service.ts'

/** The first bytes of every ciphertext: ASCII `SWKM`. */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x4b, 0x4d)
/** The only version of the format so far. */
const FORMAT_VERSION = 1

/** The numbers of the providers on the wire. 0 is never given; numbers are never given twice. */
const PROVIDER_NUMBERS: Readonly<Record<KmsProvider, number>> = { transit: 1, keyring: 2 }
const PROVIDERS: ReadonlyMap<number, KmsProvider> = new Map([
  [PROVIDER_NUMBERS.transit, 'transit'],
  [PROVIDER_NUMBERS.keyring, 'keyring'],
])

const OFFSET_FORMAT = 4
const OFFSET_PROVIDER = 5
const OFFSET_VERSION = 6
const OFFSET_LINEAGE = 10
/** magic (4) ‖ format (1) ‖ provider (1) ‖ version (4) ‖ lineage (16). */
const HEADER_BYTES = OFFSET_LINEAGE + LINEAGE_BYTES

/** Longest ciphertext that kube-apiserver takes, in bytes (k8s.io/apiserver, envelope/kmsv2, `encryptedDEKSourceMaxSize`). */
export const MAX_CIPHERTEXT_BYTES = 1_024
/** Longest result of a backend, in bytes. */
export const MAX_WRAPPED_BYTES = MAX_CIPHERTEXT_BYTES - HEADER_BYTES

/** The one annotation. kube-apiserver wants a domain name for a key. */
export const BINDING_ANNOTATION = 'binding.kms.sealwright.io'

const BINDING_DOMAIN = textBytes('sealwright kms v2 binding v1')
const AAD_DOMAIN = textBytes('sealwright kms v2 aad v1')
const SAMPLE_DOMAIN = textBytes('sealwright kms v2 sample v1')

/** The fields of a ciphertext: views, not copies. Nothing in it is authentic before its backend has decrypted it. */
export interface KmsCiphertext {
  readonly provider: KmsProvider
  readonly version: number
  /** 16 bytes. */
  readonly lineage: Uint8Array
  /** What the backend made. */
  readonly wrapped: Uint8Array
  /** Every byte before `wrapped`. */
  readonly header: Uint8Array
}

/** The bytes before what the backend makes: 26. */
export function encodeHeader(fields: Pick<KmsCiphertext, 'provider' | 'version' | 'lineage'>): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(MAGIC)
  header[OFFSET_FORMAT] = FORMAT_VERSION
  header[OFFSET_PROVIDER] = PROVIDER_NUMBERS[fields.provider]
  new DataView(header.buffer).setUint32(OFFSET_VERSION, fields.version)
  header.set(fields.lineage, OFFSET_LINEAGE)
  return header
}

/** Header and backend's result in one. */
export function joinCiphertext(header: Uint8Array, wrapped: Uint8Array): Uint8Array {
  const ciphertext = new Uint8Array(header.byteLength + wrapped.byteLength)
  ciphertext.set(header)
  ciphertext.set(wrapped, header.byteLength)
  return ciphertext
}

/**
 * Splits a ciphertext into its fields. Checks the layout; decrypts nothing.
 *
 * @param bytes - magic (4) ‖ format (1) ‖ provider (1) ‖ key version (4) ‖ lineage (16) ‖ wrapped (1…998).
 * @throws {@link KmsError} `KMS_CIPHERTEXT_REFUSED`.
 * @see docs/formats/kms-ciphertext.md §3
 */
export function parseCiphertext(bytes: Uint8Array): KmsCiphertext {
  if (bytes.byteLength <= HEADER_BYTES || bytes.byteLength > MAX_CIPHERTEXT_BYTES) throw refused()
  if (!MAGIC.every((byte, index) => bytes[index] === byte) || bytes[OFFSET_FORMAT] !== FORMAT_VERSION) throw refused()
  const provider = PROVIDERS.get(bytes[OFFSET_PROVIDER] ?? 0)
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(OFFSET_VERSION)
  if (provider === undefined || version === 0) throw refused()
  return {
    provider,
    version,
    lineage: bytes.subarray(OFFSET_LINEAGE, HEADER_BYTES),
    wrapped: bytes.subarray(HEADER_BYTES),
    header: bytes.subarray(0, HEADER_BYTES),
  }
}

/** What a ciphertext belongs to, beside its own bytes. */
export interface CiphertextPlace {
  readonly clusterId: string
  readonly keyId: string
}

/**
 * What the backend authenticates beside the plaintext: domain, cluster id, key id, header, each behind its length (4).
 *
 * @see docs/formats/kms-ciphertext.md §5
 */
export function associatedDataOf({ clusterId, keyId }: CiphertextPlace, header: Uint8Array): Uint8Array {
  return lengthPrefixed([AAD_DOMAIN, textBytes(clusterId), textBytes(keyId), header])
}

/**
 * The same for a sample, under a domain of its own: no sample passes for anything that kube-apiserver stores, nor the other way round.
 *
 * @see docs/formats/kms-state.md §4
 */
export function sampleAssociatedDataOf(identity: KeyIdentity): Uint8Array {
  const { clusterId } = identity
  return lengthPrefixed([SAMPLE_DOMAIN, textBytes(clusterId), textBytes(keyIdOf(identity)), encodeHeader(identity)])
}

/**
 * The annotations of a ciphertext: one, the SHA-256 over domain, cluster id, key id and ciphertext, each behind its length (4).
 *
 * It has no key: it finds what got mixed up or damaged without asking the backend. Against those who know what they do stands the
 * backend's own authentication.
 *
 * @see docs/formats/kms-ciphertext.md §4
 */
export function annotationsOf(place: CiphertextPlace, ciphertext: Uint8Array): Annotations {
  return new Map([[BINDING_ANNOTATION, bindingOf(place, ciphertext)]])
}

/**
 * Whether key id, annotations and ciphertext belong together as they were made.
 *
 * @throws {@link KmsError} `KMS_CIPHERTEXT_REFUSED`.
 */
export function assertBound(place: CiphertextPlace, ciphertext: Uint8Array, annotations: Annotations): void {
  const binding = annotations.get(BINDING_ANNOTATION)
  if (annotations.size !== 1 || binding === undefined) throw refused()
  if (!sameBytes(binding, bindingOf(place, ciphertext))) throw refused()
}

function bindingOf({ clusterId, keyId }: CiphertextPlace, ciphertext: Uint8Array): Uint8Array {
  const fields = [BINDING_DOMAIN, textBytes(clusterId), textBytes(keyId), ciphertext]
  return hash('sha256', lengthPrefixed(fields), 'buffer')
}

/** One text for all: whoever forges learns nothing from it, and an operator could do nothing with more. */
function refused(): KmsError {
  return new KmsError(
    'KMS_CIPHERTEXT_REFUSED',
    'the encrypted data is damaged, or was not encrypted by this provider for this cluster: restore it from a backup of etcd',
  )
}
