import { createHash } from 'node:crypto'
import { hex, sameBytes } from '@sealwright/bytes'
import { encodeKeyring, type Keyring, KeyringError } from '@sealwright/keyring'
import { hasErrorCode } from '@sealwright/system-error'

/** Most clusters that keyrings are kept of: a stranger who sends many must not push out the right one soon. */
const MAX_CLUSTERS = 8
/** Most keyrings of one cluster: which of them is genuine shows only when a seal has opened it. */
const MAX_PER_CLUSTER = 8
/** Most bytes of all. Those of one cluster always fit. */
const MAX_BYTES = 8_388_608
/** Most that are listed at once: for each of them a device may be asked. */
const MAX_LISTED = 8
/** How many are remembered that are forged for certain. */
const MAX_REFUTED = 64

/** Keyrings that came with blobs while none was held. Nothing in them is proven, not even the revision. */
export interface Offers {
  /**
   * Keeps one more. Where there is no room, it takes the place of one that did not open, or is not kept: it will be brought again.
   *
   * @throws {KeyringError} `KEYRING_OTHER_CLUSTER` if this node is known to belong to another one.
   */
  add(keyring: Keyring): void
  /** Those to be tried next, best first: those that never failed to open, of each cluster the newest, and those that came first. */
  list(): readonly Keyring[]
  /**
   * Takes note that one of them did not open: others come first from now on. One with a wrong MAC is not kept, nor taken again.
   * Not for a seal that could not be asked: that says nothing of the keyring.
   */
  failed(keyring: Keyring, error: unknown): void
  /** Forgets all: the configuration may have changed, and OpenBao brings them again. */
  clear(): void
}

interface Candidate {
  readonly keyring: Keyring
  /** SHA-256 of its bytes, in hex. */
  readonly id: string
  /** In hex. */
  readonly cluster: string
  readonly byteLength: number
  failures: number
}

/** @param clusterId - of this node, 16 bytes, if the configuration says. */
export function keyringOffers(clusterId: () => Uint8Array | undefined): Offers {
  /** In the order in which they came. */
  let candidates: readonly Candidate[] = []
  /** The ids of those that are forged, the oldest first. */
  const refuted = new Set<string>()

  const ofCluster = (cluster: string): readonly Candidate[] => candidates.filter(each => each.cluster === cluster)
  const remove = (gone: readonly Candidate[]): void => {
    candidates = candidates.filter(each => !gone.includes(each))
  }

  /** Takes one away that did not open. Whether there was one. */
  const removeFailed = (among: readonly Candidate[]): boolean => {
    const [worst] = among.filter(({ failures }) => failures > 0).sort((one, other) => other.failures - one.failures)
    if (worst === undefined) return false
    remove([worst])
    return true
  }

  /** Takes all of a cluster away of which none opened. Whether there was one. */
  const removeFailedCluster = (): boolean => {
    const clusters = [...new Set(candidates.map(({ cluster }) => cluster))].map(ofCluster)
    const failed = clusters.find(each => each.every(({ failures }) => failures > 0))
    if (failed === undefined) return false
    remove(failed)
    return true
  }

  const makeRoom = ({ cluster, byteLength }: Candidate): boolean => {
    const isNew = ofCluster(cluster).length === 0
    const clusters = new Set(candidates.map(each => each.cluster)).size
    if (isNew && clusters >= MAX_CLUSTERS && !removeFailedCluster()) return false
    if (ofCluster(cluster).length >= MAX_PER_CLUSTER && !removeFailed(ofCluster(cluster))) return false
    while (candidates.reduce((sum, each) => sum + each.byteLength, byteLength) > MAX_BYTES) {
      if (!removeFailed(candidates)) return false
    }
    return true
  }

  return {
    add(keyring) {
      const ours = clusterId()
      if (ours !== undefined && !sameBytes(ours, keyring.clusterId)) {
        throw new KeyringError(
          'KEYRING_OTHER_CLUSTER',
          'the keyring that came with a blob is of another cluster than the configuration names',
        )
      }
      const bytes = encodeKeyring(keyring)
      const id = createHash('sha256').update(bytes).digest('hex')
      if (refuted.has(id) || candidates.some(each => each.id === id)) return
      const cluster = hex(keyring.clusterId)
      const candidate: Candidate = { ...{ keyring, id, cluster }, byteLength: bytes.byteLength, failures: 0 }
      if (makeRoom(candidate)) candidates = [...candidates, candidate]
    },

    list() {
      const seen = new Map<string, number>()
      return [...candidates]
        .sort(bestFirst)
        .map(({ cluster, failures, keyring }) => {
          const place = seen.get(cluster) ?? 0
          seen.set(cluster, place + 1)
          return { failures, place, keyring, cameAt: candidates.findIndex(each => each.cluster === cluster) }
        })
        .sort((one, other) => one.failures - other.failures || one.place - other.place || one.cameAt - other.cameAt)
        .slice(0, MAX_LISTED)
        .map(({ keyring }) => keyring)
    },

    failed(keyring, error) {
      const candidate = candidates.find(each => each.keyring === keyring)
      if (candidate === undefined) return
      candidate.failures += 1
      // For any other reason another seal, or the shares of people, may still open it.
      if (!hasErrorCode(error, 'KEYRING_AUTH_FAILED')) return
      remove([candidate])
      refuted.add(candidate.id)
      const [oldest] = refuted
      if (refuted.size > MAX_REFUTED && oldest !== undefined) refuted.delete(oldest)
    },

    clear() {
      candidates = []
      refuted.clear()
    },
  }
}

function bestFirst(one: Candidate, other: Candidate): number {
  return one.failures - other.failures || other.keyring.revision - one.keyring.revision
}
