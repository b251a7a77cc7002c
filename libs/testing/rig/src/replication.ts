import { type OpenBaoNode } from './openbao.ts'
import { waitUntil } from './wait.ts'

/** Where a server is in the log of raft, as `sys/leader` says. */
interface RaftIndexes {
  readonly raft_committed_index: number
  readonly raft_applied_index: number
}

/**
 * Waits until these servers have applied all that the active one has written. A follower learns only with the next message that an entry
 * holds: one whose leader is gone before that never applies it, whatever the leader has answered.
 */
export async function waitUntilApplied(
  active: OpenBaoNode,
  nodes: readonly OpenBaoNode[],
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<void> {
  const { raft_committed_index: written } = await raftIndexes(active)
  await waitUntil(
    async () => (await Promise.all(nodes.map(raftIndexes))).every(({ raft_applied_index: at }) => at >= written),
    { what: `all servers to have applied ${written}`, timeoutMs },
  )
}

async function raftIndexes(node: OpenBaoNode): Promise<RaftIndexes> {
  const { body } = await node.request({ path: 'sys/leader' })
  return body as RaftIndexes
}
