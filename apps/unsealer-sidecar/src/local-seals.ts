import { isDeepStrictEqual } from 'node:util'
import { type NodeConfig, type SealConfig } from '@sealwright/node-config'
import { type ConfiguredSeal, configuredSeals, type SealContext } from '@sealwright/node-seals'

/** What a new configuration did to the seals, by name. */
export interface SealChanges {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

/** The seals of this node, which change when its configuration does. Disposing of it ends what they keep open. */
export interface LocalSeals extends AsyncDisposable {
  /** The cluster that this node belongs to, 16 bytes, if the configuration says. */
  readonly clusterId: () => Uint8Array | undefined
  /** Every seal of the configuration, as it stands there. */
  readonly configured: () => readonly SealConfig[]
  /** Those that open without people, the disabled ones too. */
  readonly all: () => readonly ConfiguredSeal[]
  /** Those that open without people and are not disabled. */
  readonly enabled: () => readonly ConfiguredSeal[]
  /** Goes on with another configuration. Seals that it leaves as they are stay as they are, with all that they keep open. */
  replace(config: NodeConfig): Promise<SealChanges>
}

interface Entry {
  readonly config: SealConfig
  /** None for people with shares. */
  readonly seal: ConfiguredSeal | undefined
}

export function localSeals(config: NodeConfig, context: SealContext): LocalSeals {
  let clusterId = config.clusterId
  let entries = config.seals.map(seal => entryOf(seal, clusterId))

  function entryOf(seal: SealConfig, cluster: string | undefined): Entry {
    const known = cluster === undefined ? {} : { clusterId: cluster }
    const [made] = configuredSeals({ ...known, seals: [seal] }, context)
    return { config: seal, seal: made }
  }

  const all = (): readonly ConfiguredSeal[] =>
    entries.flatMap(({ seal }) => (seal === undefined ? [] : [seal])).sort((a, b) => a.priority - b.priority)

  return {
    clusterId: () => (clusterId === undefined ? undefined : Buffer.from(clusterId, 'hex')),
    configured: () => entries.map(entry => entry.config),
    all,
    enabled: () => all().filter(({ disabled }) => !disabled),
    async replace(next) {
      const isSameCluster = clusterId === next.clusterId
      const before = entries
      const after = next.seals.map(
        seal =>
          (isSameCluster ? before.find(entry => isDeepStrictEqual(entry.config, seal)) : undefined) ??
          entryOf(seal, next.clusterId),
      )
      // Nothing has changed until all of them could be made.
      clusterId = next.clusterId
      entries = after
      for (const former of before.filter(entry => !entries.includes(entry))) await former.seal?.[Symbol.asyncDispose]()
      const names = (list: readonly Entry[]): readonly string[] => list.map(entry => entry.config.name)
      const fresh = names(entries.filter(entry => !before.includes(entry)))
      return {
        added: fresh.filter(name => !names(before).includes(name)),
        changed: fresh.filter(name => names(before).includes(name)),
        removed: names(before).filter(name => !names(entries).includes(name)),
      }
    },
    async [Symbol.asyncDispose]() {
      for (const { seal } of entries) await seal?.[Symbol.asyncDispose]()
    },
  }
}
