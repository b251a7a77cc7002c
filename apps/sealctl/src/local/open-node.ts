import { type NodeConfig } from '@sealwright/node-config'
import { type ConfiguredSeal, configuredSeals } from '@sealwright/node-seals'
import { loadNodeConfig } from '@sealwright/program'
import { SEAL_CONTEXT } from '../seal-context.ts'

/** The seals of a node's configuration. */
export interface OpenNode extends AsyncDisposable {
  readonly config: NodeConfig
  readonly seals: readonly ConfiguredSeal[]
}

/** @param clusterId - the cluster that is meant, where an operator says so: then records are opened that others made. */
export async function openNode(path: string, clusterId?: Uint8Array): Promise<OpenNode> {
  const config = await loadNodeConfig(path)
  const seals = configuredSeals(config, {
    ...SEAL_CONTEXT,
    ...(clusterId === undefined ? {} : { isOurCluster: id => Buffer.compare(id, clusterId) === 0 }),
  })
  return {
    config,
    seals: seals.filter(({ disabled }) => !disabled),
    async [Symbol.asyncDispose]() {
      for (const seal of seals) await seal[Symbol.asyncDispose]()
    },
  }
}
