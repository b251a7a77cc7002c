import { type Secret } from '@sealwright/secret'

import { sameBytes } from '@sealwright/bytes'
import { combinePoints } from './secret-sharing.ts'
import { ShamirError } from './shamir-error.ts'
import { type ShareSet } from './share-set.ts'
import { type Share } from './share.ts'
import { xWingPublicKey } from './x-wing.ts'

/**
 * Rebuilds the private key of a share set, and checks that it belongs to the wrapping key. That key is what each share names
 * by its member id: so this holds even if somebody changed the keyring, check values and all.
 *
 * @param shares - `threshold` or more, of different indexes; they stay the caller's.
 * @returns 32 bytes, owned by the caller.
 * @throws {@link ShamirError} `SHAMIR_KEY_MISMATCH`; the key that came of it is wiped.
 */
export function rebuildPrivateKey(
  { wrappingKey, threshold }: Pick<ShareSet, 'wrappingKey' | 'threshold'>,
  shares: readonly Share[],
): Secret {
  const privateKey = combinePoints(shares.slice(0, threshold))
  if (sameBytes(xWingPublicKey(privateKey), wrappingKey)) return privateKey
  privateKey.wipe()
  throw new ShamirError(
    'SHAMIR_KEY_MISMATCH',
    'the shares fit their check values and rebuild another key: the keyring was changed; open it from a copy',
  )
}
