import { hex, sameBytes } from '@sealwright/bytes'
import { KeyringError, type Keyring } from '@sealwright/keyring'
import { type NodeConfig } from '@sealwright/node-config'
import { type NamedFailure } from '@sealwright/node-seals'
import { SealctlError } from '../errors.ts'

/**
 * The id of a cluster as it is typed: 32 hex digits; dashes and spaces do not count.
 *
 * @throws {@link SealctlError} `SEALCTL_USAGE`.
 */
export function clusterIdOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const digits = text.toLowerCase().replace(/[\s-]/g, '')
  if (/^[0-9a-f]{32}$/.test(digits)) return Buffer.from(digits, 'hex')
  throw new SealctlError(
    'SEALCTL_USAGE',
    '--cluster-id must be 32 hex digits, as bootstrap-init and share cards have it',
  )
}

/**
 * The cluster that is meant: as it was typed, else as the configuration of this node has it. Looked at before any seal is asked: a TPM
 * that refuses a keyring of another cluster would speak of a forgery.
 *
 * @throws {KeyringError} `KEYRING_OTHER_CLUSTER`.
 */
export function expectedCluster(
  keyring: Keyring,
  typed: Uint8Array | undefined,
  { clusterId: configured }: Pick<NodeConfig, 'clusterId'>,
): Uint8Array | undefined {
  const expected = typed ?? (configured === undefined ? undefined : Buffer.from(configured, 'hex'))
  if (expected === undefined || sameBytes(expected, keyring.clusterId)) return expected
  throw new KeyringError(
    'KEYRING_OTHER_CLUSTER',
    `the keyring is of another cluster: of ${hex(keyring.clusterId)}, and ${hex(expected)} was named by ` +
      `${typed === undefined ? 'clusterId in node.yaml' : '--cluster-id'}: nothing was opened or written`,
  )
}

/** Why a seal does not open a keyring that was brought. */
export function reasonOf({ sealName, code, message }: NamedFailure, expected: Uint8Array | undefined): string {
  return `${sealName}: ${code}: ${isForWantOfCluster({ code }, expected) ? NAME_THE_CLUSTER : message}`
}

/** A record that another node has made opens only where somebody says which cluster it is of: anybody could have made it. */
export function isForWantOfCluster({ code }: Pick<NamedFailure, 'code'>, expected: Uint8Array | undefined): boolean {
  return expected === undefined && code === 'TPM_METHOD_REFUSED'
}

export const NAME_THE_CLUSTER =
  'another node has made the record of this one, which anybody could: name the cluster, with --cluster-id HEX or clusterId in node.yaml ' +
  '(sealctl status --json on a node that is open shows it, and each share card has it)'
