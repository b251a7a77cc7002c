import { hash } from 'node:crypto'
import { type KeyVersion, type KmsProvider } from './backend.ts'
import { lengthPrefixed, textBytes, uint32 } from '@sealwright/bytes'

/** Length of a lineage, in bytes. */
export const LINEAGE_BYTES = 16

const DOMAIN = textBytes('sealwright kms v2 key id v1')
/** Tells everybody whose key id it is, and of which format. */
const PREFIX = 'sealwright.v1.'
/** The highest number that a version can have: what four bytes hold. */
export const MAX_KEY_VERSION = 0xffff_ffff

/** What a version of a key is told apart by: never its place, so that a key may move. */
export interface KeyIdentity extends Pick<KeyVersion, 'version' | 'lineage'> {
  readonly provider: KmsProvider
  /** The Kubernetes cluster, as the configuration of each of its control-plane nodes names it. */
  readonly clusterId: string
}

/**
 * The `key_id` of one version of a key: `sealwright.v1.` and 43 characters of base64url, the SHA-256 over five fields, each behind its
 * length (4): domain, provider, cluster id, lineage (16), version (4).
 *
 * The same on every node, and after a restart. It tells nothing about the key to whoever reads it in etcd.
 *
 * @see docs/formats/kms-ciphertext.md §2
 */
export function keyIdOf({ provider, clusterId, lineage, version }: KeyIdentity): string {
  const fields = [DOMAIN, textBytes(provider), textBytes(clusterId), lineage, uint32(version)]
  return PREFIX + hash('sha256', lengthPrefixed(fields), 'base64url')
}
