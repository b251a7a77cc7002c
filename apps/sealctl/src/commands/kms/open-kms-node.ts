import { hostname } from 'node:os'
import { type KeyringBackendConfig, type KmsConfig, parseKmsConfig } from '@sealwright/kms-config'
import { type KeyringNode } from '@sealwright/kms-backends'
import { readConfigFile } from '@sealwright/program'
import { SealctlError } from '../../errors.ts'
import { openSeals, type OpenNode } from '../../local/open-node.ts'

/** The keyring of a node's KMS plugin, as its configuration describes it, and its seals. */
export interface OpenKmsNode extends OpenNode, KeyringNode {
  readonly config: KeyringBackendConfig
  readonly kms: KmsConfig
}

/**
 * Reads the configuration of a KMS plugin whose backend is a keyring.
 *
 * @param options.clusterId - of the keyring, where an operator says which it must be: then records are opened that others made.
 * @param options.label - what a device that is new is called; left out: the host's name.
 * @throws {@link SealctlError} `SEALCTL_NO_KMS_KEYRING`; {ProgramError}, {NodeConfigError}.
 */
export async function openKmsNode(
  path: string,
  {
    clusterId,
    label = hostname(),
  }: { readonly clusterId?: Uint8Array | undefined; readonly label?: string | undefined } = {},
): Promise<OpenKmsNode> {
  const kms = parseKmsConfig(await readConfigFile(path), path)
  const { backend } = kms
  if (backend.type !== 'keyring') {
    throw new SealctlError(
      'SEALCTL_NO_KMS_KEYRING',
      `the backend in ${path} is of type ${backend.type}, whose key is kept elsewhere: there is no keyring on this node`,
    )
  }
  return { ...openSeals(backend, clusterId), kms, label }
}
