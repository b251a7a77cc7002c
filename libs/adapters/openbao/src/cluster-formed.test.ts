import fc from 'fast-check'
import { type ClusterObservation, clusterFormed, type SealStatus } from './index.ts'

const open: SealStatus = {
  type: 'static',
  initialised: true,
  sealed: false,
  threshold: 1,
  shares: 1,
  progress: 0,
  migration: false,
  version: '2.7.2',
  clusterId: 'c1',
}
const names = ['n1', 'n2', 'n3']
const server = (nodeId: string) => ({ nodeId, address: `${nodeId}:8201`, leader: nodeId === 'n1', voter: true })

const formed: ClusterObservation = {
  expectedVoters: names,
  autopilot: { healthy: true, failureTolerance: 1, leader: 'n1', voters: names, servers: [] },
  raft: { servers: names.map(server) },
  sealStatuses: new Map(names.map(name => [name, open])),
}

const withStatus = (nodeId: string, status: SealStatus): ClusterObservation => ({
  ...formed,
  sealStatuses: new Map([...formed.sealStatuses, [nodeId, status]]),
})

const faults: readonly (readonly [string, ClusterObservation, readonly object[]])[] = [
  [
    'autopilot is not healthy',
    { ...formed, autopilot: { ...formed.autopilot, healthy: false } },
    [{ kind: 'AUTOPILOT_UNHEALTHY' }],
  ],
  [
    'no node may fail',
    { ...formed, autopilot: { ...formed.autopilot, failureTolerance: 0 } },
    [{ kind: 'NO_FAILURE_TOLERANCE', failureTolerance: 0 }],
  ],
  [
    'nobody leads',
    { ...formed, raft: { servers: names.map(name => ({ ...server(name), leader: false })) } },
    [{ kind: 'NO_LEADER' }],
  ],
  [
    'a node never joined',
    { ...formed, raft: { servers: ['n1', 'n2'].map(server) } },
    [{ kind: 'VOTER_MISSING', nodeId: 'n3' }],
  ],
  [
    'a node is no voter yet',
    { ...formed, raft: { servers: names.map(name => ({ ...server(name), voter: name !== 'n2' })) } },
    [{ kind: 'VOTER_MISSING', nodeId: 'n2' }],
  ],
  [
    'a stranger votes',
    { ...formed, raft: { servers: [...names, 'n9'].map(server) } },
    [{ kind: 'VOTER_UNEXPECTED', nodeId: 'n9' }],
  ],
  [
    'a node does not answer',
    { ...formed, sealStatuses: new Map([...formed.sealStatuses].filter(([name]) => name !== 'n2')) },
    [{ kind: 'NODE_SILENT', nodeId: 'n2' }],
  ],
  [
    'a node is sealed',
    withStatus('n3', { ...open, sealed: true, clusterId: undefined }),
    [{ kind: 'NODE_SEALED', nodeId: 'n3' }],
  ],
  [
    'a seal is being changed',
    withStatus('n1', { ...open, migration: true }),
    [{ kind: 'NODE_MIGRATING', nodeId: 'n1' }],
  ],
  [
    'a node belongs to another cluster',
    withStatus('n2', { ...open, clusterId: 'c2' }),
    [{ kind: 'CLUSTER_ID_DIFFERS', clusterIds: ['c1', 'c2'] }],
  ],
  [
    'an open node does not tell its cluster',
    withStatus('n2', { ...open, clusterId: undefined }),
    [{ kind: 'CLUSTER_ID_DIFFERS', clusterIds: ['', 'c1'] }],
  ],
]

describe('clusterFormed', () => {
  it('accepts a whole cluster', () => {
    expect(clusterFormed(formed)).toEqual({ kind: 'formed', clusterId: 'c1' })
  })

  it.each(faults)('refuses one where %s', (_, observation, reasons) => {
    expect(clusterFormed(observation)).toEqual({ kind: 'not-formed', reasons })
  })

  it('does not accept nothing for a whole cluster', () => {
    expect(clusterFormed({ ...formed, expectedVoters: [], raft: { servers: [] }, sealStatuses: new Map() })).toEqual({
      kind: 'not-formed',
      reasons: [{ kind: 'NO_VOTERS_EXPECTED' }, { kind: 'NO_LEADER' }],
    })
  })

  it('accepts only if nothing at all is wrong', () => {
    const statuses = fc.record({
      sealed: fc.boolean(),
      migration: fc.boolean(),
      clusterId: fc.constantFrom('c1', 'c2'),
    })
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.nat({ max: 2 }),
        fc.subarray(names),
        fc.array(fc.option(statuses), { minLength: 3, maxLength: 3 }),
        (healthy, failureTolerance, voters, perNode) => {
          const sealStatuses = new Map(
            perNode.flatMap((status, index) => {
              const name = names[index]
              return status === null || name === undefined ? [] : [[name, { ...open, ...status }] as const]
            }),
          )
          const verdict = clusterFormed({
            expectedVoters: names,
            autopilot: { ...formed.autopilot, healthy, failureTolerance },
            raft: { servers: voters.map(server) },
            sealStatuses,
          })
          const all = [...sealStatuses.values()]
          const expected =
            healthy &&
            failureTolerance >= 1 &&
            voters.length === 3 &&
            all.length === 3 &&
            all.every(status => !status.sealed && !status.migration && status.clusterId === all[0]?.clusterId)
          expect(verdict.kind === 'formed').toBe(expected)
        },
      ),
    )
  })
})
