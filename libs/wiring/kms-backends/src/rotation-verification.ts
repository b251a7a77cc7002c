import * as v from 'valibot'
import { KmsKeyringError } from './keyring-error.ts'

/** An etcd that was looked at. */
export interface EtcdLookedAt {
  /** Of the etcd cluster, in hex. */
  readonly clusterId: string
  /** The addresses that were given for it: without user name, password or path. */
  readonly endpoints: readonly string[]
}

/** What a look at all that a cluster has encrypted has found, as a file. */
export interface RotationVerification {
  /** The Kubernetes cluster, as the configuration of the KMS plugin names it. */
  readonly clusterId: string
  /** The etcds that were looked at: an API server may have several. */
  readonly etcds: readonly EtcdLookedAt[]
  /** When the first look at one of them began, in milliseconds since 1970. */
  readonly verifiedAtMs: number
  /** Every key id of a Sealwright plugin that something is encrypted by, of all resources. */
  readonly keyIds: readonly string[]
}

const FORMAT = 'sealwright kms rotation verification'
const FORMAT_VERSION = 1
/** The last moment that a `Date` can be (ECMA-262, Time Values). */
const MAX_DATE_MS = 8_640_000_000_000_000

const schema = v.strictObject({
  format: v.literal(FORMAT),
  formatVersion: v.literal(FORMAT_VERSION),
  clusterId: v.pipe(v.string(), v.nonEmpty()),
  etcds: v.pipe(
    v.array(
      v.strictObject({
        clusterId: v.pipe(v.string(), v.nonEmpty()),
        endpoints: v.pipe(v.array(v.pipe(v.string(), v.nonEmpty())), v.nonEmpty()),
      }),
    ),
    v.nonEmpty(),
  ),
  verifiedAtMs: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_DATE_MS)),
  keyIds: v.array(v.pipe(v.string(), v.nonEmpty())),
})

/** The verification as the text of a file. */
export function encodeRotationVerification(verification: RotationVerification): string {
  const { clusterId, etcds, verifiedAtMs, keyIds } = verification
  const file = { format: FORMAT, formatVersion: FORMAT_VERSION, clusterId, etcds, verifiedAtMs, keyIds }
  return `${JSON.stringify(file, null, 2)}\n`
}

/** @throws {@link KmsKeyringError} `KMS_KEYRING_NOT_VERIFIED`. */
export function parseRotationVerification(text: string): RotationVerification {
  try {
    const { clusterId, etcds, verifiedAtMs, keyIds } = v.parse(schema, JSON.parse(text))
    return { clusterId, etcds, verifiedAtMs, keyIds }
  } catch (cause) {
    throw new KmsKeyringError(
      'KMS_KEYRING_NOT_VERIFIED',
      'the file is none that sealctl kms verify-rotation writes: nothing was retired',
      { cause },
    )
  }
}
