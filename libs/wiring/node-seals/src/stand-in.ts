import {
  findRecords,
  type Keyring,
  type Member,
  type RecordInput,
  type RecordMethod,
  type Seal,
} from '@sealwright/keyring'
import { decodeSealedKek, pkcs11RemoteMember } from '@sealwright/pkcs11'
import { shamirRemoteMember } from '@sealwright/shamir'
import { tpmRemoteMember } from '@sealwright/tpm'
import { randomFillSync } from 'node:crypto'
import { allocateKeyBytes } from '@sealwright/secret'
import { classifySealFailure } from './classify.ts'

/** Who seals for a member that is not here, and how. */
export type StandIn =
  | { readonly kind: 'can'; readonly member: RecordInput['member']; readonly method: RecordMethod }
  /** In words for operators. */
  | { readonly kind: 'cannot'; readonly reason: string }

/**
 * Finds who can seal for a member by what the keyring says of it alone: its public key, and the record that it has. Asks nobody.
 *
 * Such a record proves nothing of its origin, and is not quantum-safe unless it is for shares: its member replaces it when it is
 * online.
 */
export function standInFor(keyring: Keyring, seal: Seal, member: Member): StandIn {
  try {
    return sealerFor(keyring, seal, member)
  } catch (error) {
    return { kind: 'cannot', reason: classifySealFailure(error).message }
  }
}

function sealerFor(keyring: Keyring, seal: Seal, { sealId, memberId, wrappingKey }: Member): StandIn {
  if (wrappingKey.byteLength === 0) return { kind: 'cannot', reason: 'it has no public key to wrap for' }
  const [newest] = findRecords(keyring, { sealId, memberId }).toSorted((a, b) => b.createdAtMs - a.createdAtMs)
  switch (seal.sealType) {
    case 'tpm': {
      if (newest === undefined) return NO_RECORD
      const sealer = tpmRemoteMember({ wrappingKey, like: newest.sealedKek, randomBytes: keyBytes })
      return { kind: 'can', member: sealer, method: sealer.method }
    }
    case 'pkcs11': {
      if (newest === undefined) return NO_RECORD
      const former = decodeSealedKek(newest.sealedKek)
      if (former.method !== 'pkcs11-rsa-oaep') return { kind: 'cannot', reason: 'its key is symmetric' }
      const sealer = pkcs11RemoteMember({ spki: wrappingKey, memberId, oaepHash: former.oaepHash })
      return { kind: 'can', member: sealer, method: sealer.method }
    }
    case 'shamir': {
      const sealer = shamirRemoteMember({ wrappingKey, memberId })
      return { kind: 'can', member: sealer, method: sealer.method }
    }
    case 'transit':
      return { kind: 'cannot', reason: 'only the other OpenBao can seal for it' }
  }
}

const NO_RECORD: StandIn = { kind: 'cannot', reason: 'it has no record that says under which conditions it seals' }

function keyBytes(count: number): Uint8Array {
  return randomFillSync(allocateKeyBytes(count))
}
