import { type Keyring, KeyringError } from '@sealwright/keyring'

/** Most clusters that keyrings are kept of: a stranger who sends many must not push out the right one soon. */
const MAX_CLUSTERS = 8

/** Keyrings that came with blobs while none was held. */
export interface Offers {
  /** @throws {KeyringError} `KEYRING_OTHER_CLUSTER` if this node is known to belong to another one. */
  add(keyring: Keyring): void
  /** Of each cluster the newest; those that came first, first. */
  list(): readonly Keyring[]
}

/** @param clusterId - of this node, 16 bytes, if the configuration says. */
export function keyringOffers(clusterId: () => Uint8Array | undefined): Offers {
  const byCluster = new Map<string, Keyring>()
  return {
    add(keyring) {
      const ours = clusterId()
      if (ours !== undefined && Buffer.compare(ours, keyring.clusterId) !== 0) {
        throw new KeyringError(
          'KEYRING_OTHER_CLUSTER',
          'the keyring that came with a blob is of another cluster than the configuration names',
        )
      }
      const id = Buffer.from(keyring.clusterId).toString('hex')
      const known = byCluster.get(id)
      if (known === undefined && byCluster.size >= MAX_CLUSTERS) return
      if (known === undefined || known.revision < keyring.revision) byCluster.set(id, keyring)
    },
    list: () => [...byCluster.values()],
  }
}
