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
  const shown = new Map<string, string>()
  while (!signal.aborted) {
    for (const clusterNode of cluster.nodes) {
      await startWhatEnded(clusterNode, write)
      const { node } = clusterNode
      const line = `${node.name}  ${(await node.openBao().state(signal)).padEnd(11)}  OpenBao ${node.openBao().pid()}, agent ${node.agent().pid}, TPM ${String(node.tpm.pid)}`
      if (shown.get(node.name) !== line) write(`${timeOfDay()}  ${line}\n`)
      shown.set(node.name, line)
    }
    await delay(LOOK_INTERVAL_MS, undefined, { signal })
  }
}

async function startWhatEnded({ node }: ClusterNode, write: (line: string) => void): Promise<void> {
  if (node.tpm.pid === undefined) {
    write(`${timeOfDay()}  ${node.name}  the TPM lost power; it is switched on again\n`)
    await node.tpm.start()
  }
  if (node.agent().end() !== undefined) {
    write(`${timeOfDay()}  ${node.name}  the agent ended; it is started again\n`)
    await node.startAgent()
  }
  if (node.openBao().process().end() !== undefined) {
    write(`${timeOfDay()}  ${node.name}  OpenBao ended; it is started again\n`)
    await node.openBao().start({ until: 'nothing' })
  }
}

/** Hours, minutes and seconds in UTC. */
function timeOfDay(): string {
  return new Date().toISOString().slice(11, 19)
}
