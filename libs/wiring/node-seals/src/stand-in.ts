import {
  findRecords,
  type Keyring,
  type Member,
  type RecordInput,
  type RecordMethod,
  type Seal,
} from '@sealwright/keyring'
import { decodeSealedKek, Pkcs11Error, pkcs11RemoteMember } from '@sealwright/pkcs11'
import { shamirRemoteMember } from '@sealwright/shamir'
import { tpmRemoteMember } from '@sealwright/tpm'
import { randomKeyBytes } from '@sealwright/secret'
import { hasErrorCode } from '@sealwright/system-error'
import { classifySealFailure } from './classify.ts'
import { isUnreadable } from './seal-records.ts'

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

function sealerFor(keyring: Keyring, seal: Seal, member: Member): StandIn {
  const { memberId, wrappingKey } = member
  if (wrappingKey.byteLength === 0) return { kind: 'cannot', reason: 'it has no public key to wrap for' }
  switch (seal.sealType) {
    case 'tpm':
      return likeNewest(keyring, member, like => tpmRemoteMember({ wrappingKey, like, randomBytes: randomKeyBytes }))
    case 'pkcs11':
      return likeNewest(keyring, member, like => {
        const former = decodeSealedKek(like)
        if (former.method === 'pkcs11-rsa-oaep')
          return pkcs11RemoteMember({ spki: wrappingKey, memberId, oaepHash: former.oaepHash })
        throw new Pkcs11Error('PKCS11_BLOB_MALFORMED', 'its record is of a symmetric key')
      })
    case 'shamir': {
      const sealer = shamirRemoteMember({ wrappingKey, memberId })
      return { kind: 'can', member: sealer, method: sealer.method }
    }
    case 'transit':
      return { kind: 'cannot', reason: 'only the other OpenBao can seal for it' }
  }
}

/**
 * As the newest record says that can be one of this member: whoever had an old key can have made such as cannot, of any age. One that asks for
 * more than can be done from here is not passed over: an older one may ask for less than its member does now.
 */
function likeNewest(
  keyring: Keyring,
  member: Member,
  sealerLike: (sealedKek: Uint8Array) => RecordInput['member'] & { readonly method: RecordMethod },
): StandIn {
  const newestFirst = findRecords(keyring, member).toSorted((a, b) => b.createdAtMs - a.createdAtMs)
  let notIts: Error | undefined
  for (const { sealedKek } of newestFirst) {
    try {
      const sealer = sealerLike(sealedKek)
      return { kind: 'can', member: sealer, method: sealer.method }
    } catch (error) {
      if (!isUnreadable(error) && !hasErrorCode(error, 'TPM_INVALID_ARGUMENT')) throw error
      notIts ??= error as Error
    }
  }
  if (notIts !== undefined) throw notIts
  return { kind: 'cannot', reason: 'it has no record that says under which conditions it seals' }
}
