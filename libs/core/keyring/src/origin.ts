import { hex, sameBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type OpenKeyring } from './open-keyring.ts'

/**
 * Refuses an opened keyring that may be of somebody else's making: before what it encrypts, or what it says of the cluster, is
 * relied upon.
 *
 * @param clusterId - 16 bytes, as it is known from elsewhere (the configuration, a share card); `undefined` if it is not. Then only
 *   a record that its member alone can have made shows where the keyring comes from.
 * @throws {@link KeyringError} `KEYRING_OTHER_CLUSTER`, `KEYRING_ORIGIN_UNPROVEN`.
 * @see docs/formats/keyring.md §6.5
 */
export function assertOrigin(
  { keyring, isOriginProven }: Pick<OpenKeyring, 'keyring' | 'isOriginProven'>,
  clusterId: Uint8Array | undefined,
): void {
  if (clusterId !== undefined) {
    if (sameBytes(keyring.clusterId, clusterId)) return
    throw new KeyringError(
      'KEYRING_OTHER_CLUSTER',
      `this keyring is of the cluster ${hex(keyring.clusterId)}, and ours is ${hex(clusterId)}`,
    )
  }
  if (isOriginProven) return
  throw new KeyringError(
    'KEYRING_ORIGIN_UNPROVEN',
    'the keyring was opened by a record that anybody could have made, and nothing shows that it is of our cluster: state clusterId in the ' +
      'configuration of this node, or open by another seal',
  )
}
