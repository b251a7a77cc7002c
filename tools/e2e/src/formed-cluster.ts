import {
  type ClusterNode,
  createSealedCluster,
  type SealedCluster,
  type SealedNode,
  type SealedNodeConfig,
} from '@sealwright/testing-cluster'
import { waitUntil, waitUntilApplied as waitUntilServersApplied } from '@sealwright/testing-rig'
import { type TestScope } from './test-scope.ts'

/** Nodes whose OpenBao servers form a cluster, and a token that may do anything there. */
export interface FormedCluster {
  readonly cluster: SealedCluster
  readonly rootToken: string
}

const FORM_TIMEOUT_MS = 120_000
const { signal } = new AbortController()

/** Makes one of three. No node's keyring has heard of the others' TPMs yet. */
export async function formedCluster(scope: TestScope, config: SealedNodeConfig): Promise<FormedCluster> {
  const cluster = await createSealedCluster({ directory: scope.folder.path, nodeNames: ['a', 'b', 'c'], config })
  scope.use(cluster)
  for (const { node } of cluster.nodes) expect(await node.bootstrap(cluster.sealKeyPath)).toMatchObject({ exitCode: 0 })
  await Promise.all(cluster.nodes.map(({ node }) => node.startAgent()))
  await Promise.all(
    cluster.nodes.map(({ node, openBaoOptions }) => node.startOpenBao({ ...openBaoOptions, until: 'nothing' })),
  )
  const [first] = cluster.nodes
  if (first === undefined) throw new Error('no node')
  await first.node.openBao().waitFor('uninitialised')
  const { rootToken } = await first.client.init({ recoveryShares: 1, recoveryThreshold: 1 }, { signal })
  await cluster.waitUntilFormed(rootToken, FORM_TIMEOUT_MS)
  return { cluster, rootToken: rootToken.reveal(bytes => Buffer.from(bytes).toString()) }
}

/** Waits until one of them is active. */
export async function leaderOf({ cluster: { nodes } }: FormedCluster): Promise<ClusterNode> {
  return await waitUntil(
    async () => nodes[(await Promise.all(nodes.map(({ node }) => node.openBao().state()))).indexOf('active')],
    { what: 'a leader', timeoutMs: FORM_TIMEOUT_MS },
  )
}

/** Waits until every server has applied all that the leader has written. */
export async function waitUntilReplicated(formed: FormedCluster): Promise<void> {
  const { node: active } = await leaderOf(formed)
  await waitUntilApplied(
    active,
    formed.cluster.nodes.map(({ node }) => node),
  )
}

/**
 * Waits until these servers have applied all that the active one has written. OpenBao writes a new root key in two steps: a standby that is
 * killed between them calls its key invalid, and needs to join anew.
 */
export async function waitUntilApplied(active: SealedNode, nodes: readonly SealedNode[]): Promise<void> {
  const servers = nodes.map(node => node.openBao())
  await waitUntilServersApplied(active.openBao(), servers, { timeoutMs: FORM_TIMEOUT_MS })
}
