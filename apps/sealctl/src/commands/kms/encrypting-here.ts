import { type EncryptingVersion, findStored } from '@sealwright/kms-backends'
import { kmsChain } from '@sealwright/keyring'
import { type KmsConfig } from '@sealwright/kms-config'
import { activeVersion, type KeyVersion, keyIdOf, type KmsState } from '@sealwright/kms-v2'
import { KmsCommandError } from './errors.ts'
import { type KeyFacts } from './key-facts.ts'
import { type FoundPluginState, readPluginState } from './plugin-state.ts'
import { askPluginStatus, type PluginStatus } from './plugin/ask-status.ts'

/** By which version of a key the plugin of this node encrypts, as far as that can be found out. */
export type EncryptsHere =
  | { readonly kind: 'by-version'; readonly version: number }
  /** Nobody listens on its socket, and it has not encrypted by any key yet: there may be no plugin here. */
  | { readonly kind: 'no-plugin-seen' }
  /** It encrypts by what is no version of this key, or nobody can say by what. */
  | { readonly kind: 'unclear'; readonly why: string }

type UsableState = Exclude<FoundPluginState, { readonly kind: 'unusable' }>

/** Asks the plugin of this node; if it does not answer, what it remembers. */
export async function askWhatEncryptsHere(
  config: KmsConfig,
  key: KeyFacts,
  signal: AbortSignal,
): Promise<EncryptsHere> {
  const plugin = await askPluginStatus(config, signal)
  if (plugin.kind === 'answers') return knownBy(key, plugin.keyId, 'the plugin of this node encrypts')
  const found = await readPluginState(config)
  if (found.kind === 'unusable') {
    return {
      kind: 'unclear',
      why: `the plugin of this node does not answer, and ${found.path} does not say by what it encrypts (${found.message})`,
    }
  }
  const active = found.kind === 'none' ? undefined : activeIn(found.state)
  if (found.kind === 'read' && active !== undefined) {
    const { provider, clusterId } = found.state
    return knownBy(key, keyIdOf({ ...active, provider, clusterId }), `by ${found.path} this node encrypts`)
  }
  if (plugin.kind === 'absent') return { kind: 'no-plugin-seen' }
  return {
    kind: 'unclear',
    why: `a plugin of this node does not say by what it encrypts (${plugin.message}), nor does ${found.path}`,
  }
}

function knownBy({ versions }: KeyFacts, keyId: string, whoEncrypts: string): EncryptsHere {
  const known = versions.find(each => each.keyId === keyId)
  if (known !== undefined) return { kind: 'by-version', version: known.version }
  return { kind: 'unclear', why: `${whoEncrypts} by ${keyId}, which is no version that this key has` }
}

/**
 * What the KMS plugin of this node encrypts by, as it says, or remembers if it does not answer; `undefined` if it has not encrypted by a
 * keyring of this cluster yet.
 *
 * @param store - of its keyring.
 * @throws {@link KmsCommandError} `KMS_COMMAND_STATE_UNUSABLE`: a version could be in use, and nobody would know; {StoreError}.
 */
export async function encryptingHere(
  config: KmsConfig,
  store: string,
  signal: AbortSignal,
): Promise<EncryptingVersion | undefined> {
  const plugin = await askPluginStatus(config, signal)
  return (await saidBy(plugin, config, store)) ?? activeHere(await usableState(config), config, plugin)
}

/**
 * The versions of its keyring that the KMS plugin of this node knows, also if the keyring has them no more.
 *
 * @throws as {@link encryptingHere}.
 */
export async function knownHere(
  config: KmsConfig,
  store: string,
  signal: AbortSignal,
): Promise<readonly EncryptingVersion[]> {
  const plugin = await askPluginStatus(config, signal)
  const said = await saidBy(plugin, config, store)
  const found = await usableState(config)
  const encrypting = said ?? activeHere(found, config, plugin)
  const remembered = found.kind === 'read' && isOurs(found.state, config) ? found.state.life.versions : []
  return encrypting === undefined ? remembered : [encrypting, ...remembered]
}

/** Which version of the keyring in this store the plugin names. */
async function saidBy(
  plugin: PluginStatus,
  { clusterId }: KmsConfig,
  store: string,
): Promise<EncryptingVersion | undefined> {
  if (plugin.kind !== 'answers') return undefined
  const stored = await findStored(store)
  if (stored === undefined) return undefined
  return kmsChain(stored.keyring)
    .map(({ number: version, id: lineage }) => ({ version, lineage }))
    .find(each => keyIdOf({ ...each, provider: 'keyring', clusterId }) === plugin.keyId)
}

/** What a plugin remembers that has named no version. */
function activeHere(found: UsableState, config: KmsConfig, plugin: PluginStatus): EncryptingVersion | undefined {
  if (found.kind === 'read' && !isOurs(found.state, config)) return undefined
  const remembered = found.kind === 'read' ? activeIn(found.state) : undefined
  if (remembered !== undefined || plugin.kind === 'absent') return remembered
  const says = plugin.kind === 'answers' ? `it says ${plugin.keyId}` : plugin.message
  throw new KmsCommandError(
    'KMS_COMMAND_STATE_UNUSABLE',
    `a KMS plugin is on ${config.socket.path}, and neither it nor ${found.path} names a version of this keyring by which it encrypts (${says}): nothing was changed. ` +
      'See its log, and sealctl kms doctor. Is it the plugin of another key, this one needs a socket.path and a stateDirectory of its own',
  )
}

async function usableState(config: KmsConfig): Promise<UsableState> {
  const found = await readPluginState(config)
  if (found.kind !== 'unusable') return found
  throw new KmsCommandError(
    'KMS_COMMAND_STATE_UNUSABLE',
    `${found.path} does not say by which version the KMS plugin of this node encrypts, and nothing was changed: start the plugin, which makes it anew (${found.message})`,
  )
}

function isOurs({ provider, clusterId }: KmsState, config: KmsConfig): boolean {
  return provider === 'keyring' && clusterId === config.clusterId
}

function activeIn({ life }: KmsState): KeyVersion | undefined {
  return activeVersion({ ...life, doubts: 0, trouble: null })
}
