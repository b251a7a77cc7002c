import { type EncryptingVersion } from '@sealwright/kms-backends'
import { type KmsConfig } from '@sealwright/kms-config'
import { activeVersion, type KeyVersion, keyIdOf, type KmsState } from '@sealwright/kms-v2'
import { KmsCommandError } from './errors.ts'
import { type KeyFacts } from './key-facts.ts'
import { readPluginState } from './plugin-state.ts'
import { pluginClient } from './plugin/client.ts'

const PLUGIN_TIMEOUT_MS = 3_000

/** By which version of a key the plugin of this node encrypts, as far as that can be found out. */
export type EncryptsHere =
  | { readonly kind: 'by-version'; readonly version: number }
  /** It does not answer, and has not encrypted by any key yet: there may be no plugin here. */
  | { readonly kind: 'no-plugin-seen' }
  /** It encrypts by what is no version of this key, or nobody can say by what. */
  | { readonly kind: 'unclear'; readonly why: string }

/** Asks the plugin of this node; if it does not answer, what it remembers. */
export async function askWhatEncryptsHere(
  config: KmsConfig,
  key: KeyFacts,
  signal: AbortSignal,
): Promise<EncryptsHere> {
  const keyId = await keyIdOfPlugin(config, signal)
  if (keyId !== undefined) return knownBy(key, keyId, 'the plugin of this node encrypts')
  const found = await readPluginState(config)
  switch (found.kind) {
    case 'none':
      return { kind: 'no-plugin-seen' }
    case 'unusable':
      return {
        kind: 'unclear',
        why: `the plugin of this node does not answer, and ${found.path} does not say by what it encrypts (${found.message})`,
      }
    case 'read': {
      const active = activeIn(found.state)
      if (active === undefined) return { kind: 'no-plugin-seen' }
      const { provider, clusterId } = found.state
      return knownBy(key, keyIdOf({ ...active, provider, clusterId }), `by ${found.path} this node encrypts`)
    }
  }
}

function knownBy({ versions }: KeyFacts, keyId: string, whoEncrypts: string): EncryptsHere {
  const known = versions.find(each => each.keyId === keyId)
  if (known !== undefined) return { kind: 'by-version', version: known.version }
  return { kind: 'unclear', why: `${whoEncrypts} by ${keyId}, which is no version that this key has` }
}

async function keyIdOfPlugin({ socket }: KmsConfig, signal: AbortSignal): Promise<string | undefined> {
  using client = pluginClient({ socketPath: socket.path, timeoutMs: PLUGIN_TIMEOUT_MS, signal })
  try {
    return (await client.status()).keyId
  } catch (error) {
    if (error instanceof KmsCommandError) return undefined
    throw error
  }
}

/**
 * What the KMS plugin of this node encrypts by, as it remembers; `undefined` if it has not encrypted by a keyring of this cluster yet.
 *
 * @throws {@link KmsCommandError} `KMS_COMMAND_STATE_UNUSABLE`: a version could be in use, and nobody would know.
 */
export async function encryptingHere(
  config: Pick<KmsConfig, 'stateDirectory' | 'clusterId'>,
): Promise<EncryptingVersion | undefined> {
  const found = await readPluginState(config)
  switch (found.kind) {
    case 'none':
      return undefined
    case 'unusable':
      throw new KmsCommandError(
        'KMS_COMMAND_STATE_UNUSABLE',
        `${found.path} does not say by which version the KMS plugin of this node encrypts, and nothing was changed: start the plugin, which makes it anew (${found.message})`,
      )
    case 'read': {
      const { provider, clusterId } = found.state
      const isOurs = provider === 'keyring' && clusterId === config.clusterId
      return isOurs ? activeIn(found.state) : undefined
    }
  }
}

function activeIn({ life }: KmsState): KeyVersion | undefined {
  return activeVersion({ ...life, doubts: 0, trouble: null })
}
