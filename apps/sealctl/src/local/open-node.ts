import { sameBytes } from '@sealwright/bytes'
import { type NodeConfig } from '@sealwright/node-config'
import { type ConfiguredSeal, configuredSeals } from '@sealwright/node-seals'
import { loadNodeConfig } from '@sealwright/program'
import { SEAL_CONTEXT } from '../seal-context.ts'

/** What a configuration says of a keyring: that of an agent, or of a KMS plugin. */
export type KeyringPlace = Pick<NodeConfig, 'store' | 'clusterId' | 'seals'>

/** The seals of a node's configuration. */
export interface OpenNode extends AsyncDisposable {
  readonly config: KeyringPlace
  readonly seals: readonly ConfiguredSeal[]
}

/** @param clusterId - the cluster that is meant, where an operator says so: then records are opened that others made. */
export async function openNode(path: string, clusterId?: Uint8Array): Promise<OpenNode> {
  return openSeals(await loadNodeConfig(path), clusterId)
}

/** As {@link openNode}, for a configuration that was read. */
export function openSeals<Config extends KeyringPlace>(
  config: Config,
  clusterId?: Uint8Array,
): OpenNode & { readonly config: Config } {
  const seals = configuredSeals(config, {
    ...SEAL_CONTEXT,
    ...(clusterId === undefined ? {} : { isOurCluster: id => sameBytes(id, clusterId) }),
  })
  return {
    config,
    seals: seals.filter(({ disabled }) => !disabled),
    async [Symbol.asyncDispose]() {
      for (const seal of seals) await seal[Symbol.asyncDispose]()
    },
  }
}
