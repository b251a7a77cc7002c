import { setTimeout as delay } from 'node:timers/promises'
import { type SealedCluster, type ClusterNode } from '@sealwright/testing-cluster'

const LOOK_INTERVAL_MS = 500

export interface LiveOptions {
  readonly cluster: SealedCluster
  readonly signal: AbortSignal
  readonly write: (line: string) => void
}

/**
 * Keeps the cluster up as an init system would, and tells each change of state, until `signal` is aborted.
 *
 * Whatever somebody kills is started again, so that anybody can try: kill a server, an agent or a TPM.
 */
export async function keepAlive({ cluster, signal, write }: LiveOptions): Promise<void> {
  let shown = ''
  while (!signal.aborted) {
    for (const clusterNode of cluster.nodes) await startWhatEnded(clusterNode, write)
    const states = await Promise.all(
      cluster.nodes.map(async ({ node }) => {
        const state = await node.openBao().state(signal)
        return `${node.name} ${state.padEnd(11)} [pid ${node.openBao().pid()}, agent ${node.agent().pid}, tpm ${String(node.tpm.pid ?? '-')}]`
      }),
    )
    const line = states.join('   ')
    if (line !== shown) write(`${new Date().toISOString().slice(11, 19)}  ${line}\n`)
    shown = line
    await delay(LOOK_INTERVAL_MS, undefined, { signal })
  }
}

async function startWhatEnded({ node }: ClusterNode, write: (line: string) => void): Promise<void> {
  if (node.tpm.pid === undefined) {
    write(`          ${node.name}: the TPM lost power; it is switched on again\n`)
    await node.tpm.start()
  }
  if (node.agent().end() !== undefined) {
    write(`          ${node.name}: the agent ended; it is started again\n`)
    await node.startAgent()
  }
  if (node.openBao().process().end() !== undefined) {
    write(`          ${node.name}: OpenBao ended; it is started again\n`)
    await node.openBao().start({ until: 'nothing' })
  }
}
