import { randomBytes } from 'node:crypto'
import { createShareSet, encodeShare } from '@sealwright/shamir'

export const CLUSTER_ID = 'c0'.repeat(16)

/** The texts of a new set of shares. */
export function realShares(threshold: number, count: number): readonly string[] {
  const { shares } = createShareSet({
    ...{ clusterId: Uint8Array.from(Buffer.from(CLUSTER_ID, 'hex')), threshold, shares: count },
    randomBytes: byteLength => Uint8Array.from(randomBytes(byteLength)),
  })
  return shares.map(share => encodeShare(share).reveal(bytes => Buffer.from(bytes).toString()))
}
