import { type AutopilotState, type RaftConfiguration } from './cluster.ts'
import { type SealStatus } from './health.ts'

/** What was seen of a whole cluster, all within a short time. */
export interface ClusterObservation {
  /** Node ids that must be voters, as configured, each once. */
  readonly expectedVoters: readonly string[]
  readonly autopilot: AutopilotState
  readonly raft: RaftConfiguration
  /** Each node's own word, by node id; a node that did not answer is missing. */
  readonly sealStatuses: ReadonlyMap<string, SealStatus>
}

/** Why a cluster does not count as formed. */
export type NotFormedReason =
  | { readonly kind: 'NO_VOTERS_EXPECTED' }
  | { readonly kind: 'AUTOPILOT_UNHEALTHY' }
  | { readonly kind: 'NO_FAILURE_TOLERANCE'; readonly failureTolerance: number }
  | { readonly kind: 'NO_LEADER' }
  | { readonly kind: 'VOTER_MISSING'; readonly nodeId: string }
  /** A voter that nobody expects: another installation, or an old node that was never removed. */
  | { readonly kind: 'VOTER_UNEXPECTED'; readonly nodeId: string }
  | { readonly kind: 'NODE_SILENT'; readonly nodeId: string }
  | { readonly kind: 'NODE_SEALED'; readonly nodeId: string }
  | { readonly kind: 'NODE_MIGRATING'; readonly nodeId: string }
  | { readonly kind: 'CLUSTER_ID_DIFFERS'; readonly clusterIds: readonly string[] }

export type ClusterVerdict =
  | { readonly kind: 'formed'; readonly clusterId: string }
  | { readonly kind: 'not-formed'; readonly reasons: readonly NotFormedReason[] }

/**
 * Judges whether the whole cluster has formed: the leader's autopilot is healthy and could lose a node, the raft
 * configuration holds exactly the expected voters, and every one of them says itself that it is open and in the same
 * cluster.
 *
 * Both views are needed. Health and `sys/leader` keep looking well on a lone standby that lost its quorum; autopilot
 * knows nothing of a node that never joined.
 *
 * @returns All reasons at once, so that an operator sees the whole picture.
 */
export function clusterFormed(observation: ClusterObservation): ClusterVerdict {
  const { expectedVoters, autopilot, raft, sealStatuses } = observation
  const expected = [...new Set(expectedVoters)]
  const voters = new Set(raft.servers.filter(server => server.voter).map(server => server.nodeId))
  const clusterIds = new Set(
    expected.flatMap(nodeId => {
      const status = sealStatuses.get(nodeId)
      return status === undefined || status.sealed ? [] : [status.clusterId ?? '']
    }),
  )
  const reasons: NotFormedReason[] = [
    ...(expected.length === 0 ? [{ kind: 'NO_VOTERS_EXPECTED' } as const] : []),
    ...(autopilot.healthy ? [] : [{ kind: 'AUTOPILOT_UNHEALTHY' } as const]),
    ...(autopilot.failureTolerance >= 1
      ? []
      : [{ kind: 'NO_FAILURE_TOLERANCE', failureTolerance: autopilot.failureTolerance } as const]),
    ...(raft.servers.some(server => server.leader) ? [] : [{ kind: 'NO_LEADER' } as const]),
    ...expected.filter(nodeId => !voters.has(nodeId)).map(nodeId => ({ kind: 'VOTER_MISSING', nodeId }) as const),
    ...[...voters]
      .filter(nodeId => !expected.includes(nodeId))
      .map(nodeId => ({ kind: 'VOTER_UNEXPECTED', nodeId }) as const),
    ...expected.flatMap(nodeId => nodeReasons(nodeId, sealStatuses.get(nodeId))),
  ]
  const [clusterId = ''] = clusterIds
  if (clusterIds.size > 1 || clusterIds.has('')) {
    reasons.push({ kind: 'CLUSTER_ID_DIFFERS', clusterIds: [...clusterIds].sort() })
  }
  return reasons.length === 0 ? { kind: 'formed', clusterId } : { kind: 'not-formed', reasons }
}

function nodeReasons(nodeId: string, status: SealStatus | undefined): readonly NotFormedReason[] {
  if (status === undefined) return [{ kind: 'NODE_SILENT', nodeId }]
  if (status.sealed) return [{ kind: 'NODE_SEALED', nodeId }]
  return status.migration ? [{ kind: 'NODE_MIGRATING', nodeId }] : []
}
