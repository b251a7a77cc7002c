import { type SealMember } from '@sealwright/keyring'
import { type EccPublic, type RandomBytes, decodePublic, encodePublic, objectName } from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'
import { type SealConditions, sealKekForRemote } from './seal.ts'
import { tpmMemberId } from './seal-member.ts'
import { type SealedKek, decodeSealedKek } from './sealed-kek.ts'
import { type TpmIdentity } from './status.ts'

/** What others need to wrap for this TPM: the TPMT_PUBLIC of its storage key (Part 2, clause 12.2.4), about 90 bytes. */
export function tpmWrappingKey({ storageKey }: Pick<TpmIdentity, 'storageKey'>): Uint8Array {
  return encodePublic(storageKey)
}

/** A TPM that is not here. */
export interface TpmRemoteMemberOptions {
  /** As {@link tpmWrappingKey} gives it. */
  readonly wrappingKey: Uint8Array
  /** A sealed KEK of that TPM, under the conditions that the next one shall have. */
  readonly like: Uint8Array
  readonly randomBytes: RandomBytes
}

/**
 * Stands in for a TPM that is not here: seals for it by its public storage key, under the conditions of an earlier sealed KEK.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED`; `TPM_INVALID_ARGUMENT` if the key is no storage key, or not the one that `like` was sealed
 *   under; `TPM_PIN_REQUIRED` if there is a PIN, which only that node knows.
 */
export function tpmRemoteMember({
  wrappingKey,
  like,
  randomBytes,
}: TpmRemoteMemberOptions): Pick<SealMember, 'sealType' | 'memberId' | 'method' | 'wrappingKey' | 'sealKek'> {
  const storageKey = storageKeyOf(wrappingKey)
  const storageKeyName = objectName(wrappingKey)
  const former = decodeSealedKek(like)
  if (Buffer.compare(former.storageKeyName, storageKeyName) !== 0) {
    throw new TpmError(
      'TPM_INVALID_ARGUMENT',
      'this public key is not the storage key that the member has sealed under',
    )
  }
  const conditions = conditionsLike(former)
  const { endorsementKeyName } = former
  return {
    sealType: 'tpm',
    memberId: tpmMemberId(storageKeyName),
    method: 'tpm-imported',
    wrappingKey,
    sealKek: (kek, { signal }) => {
      signal.throwIfAborted()
      return Promise.resolve(sealKekForRemote({ storageKey, endorsementKeyName }, conditions, kek, randomBytes))
    },
  }
}

function conditionsLike({ policy, pcrValues }: SealedKek): SealConditions & Pick<SealedKek, 'pcrValues'> {
  const { state, hasPin } = policy
  if (hasPin) {
    throw new TpmError('TPM_PIN_REQUIRED', 'this TPM seals with a PIN, which is known on its own node only')
  }
  switch (state.kind) {
    case 'none':
      return { policy: { kind: 'none' }, pcrValues }
    case 'pcr':
      return { policy: { kind: 'pcr', pcrs: state.pcrs }, pcrValues }
    case 'authorized': {
      const { signer, policyRef } = state
      const pcrs = pcrValues.map(({ index }) => index)
      return { policy: { kind: 'authorized', signer: signer.unique, policyRef, pcrs }, pcrValues }
    }
  }
}

function storageKeyOf(wrappingKey: Uint8Array): EccPublic {
  try {
    const area = decodePublic(wrappingKey)
    if (area.type === 'ecc') return area
  } catch (cause) {
    throw new TpmError('TPM_INVALID_ARGUMENT', 'this is no public area of a TPM key', { cause })
  }
  throw new TpmError('TPM_INVALID_ARGUMENT', 'this is no public area of a storage key')
}
