import { type EncryptingVersion } from '@sealwright/kms-backends'
import { type KmsConfig } from '@sealwright/kms-config'
import { activeVersion } from '@sealwright/kms-v2'
import { KmsCommandError } from './errors.ts'
import { readPluginState } from './plugin-state.ts'

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
      const { provider, clusterId, life } = found.state
      const isOurs = provider === 'keyring' && clusterId === config.clusterId
      return isOurs ? activeVersion({ ...life, doubts: 0, trouble: null }) : undefined
    }
  }
}
