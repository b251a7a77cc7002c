import { ID_BYTES, type RecordMethod, type SealMember } from '@sealwright/keyring'
import { type PcrPolicy } from '@sealwright/pcr-policies'
import { sha256 } from '@sealwright/tpm-wire'

import { assertNotWeaker, conditionsOf } from './conditions.ts'
import { TpmError } from './errors.ts'
import { type TpmAccess } from './operation.ts'
import { type SealConditions, sealKek } from './seal.ts'
import { type SealedKek, decodeSealedKek } from './sealed-kek.ts'
import { type ExpectedTpm } from './storage-key.ts'
import { type UnsealCredentials, unsealKek } from './unseal.ts'

const MEMBER_ID_DOMAIN = new TextEncoder().encode('sealwright tpm member v1')

/** The id of the member that a storage key is: the first 16 bytes of SHA-256("sealwright tpm member v1" ‖ name). */
export function tpmMemberId(storageKeyName: Uint8Array): Uint8Array {
  return sha256(MEMBER_ID_DOMAIN, storageKeyName).slice(0, ID_BYTES)
}

/**
 * Which TPM a sealed KEK is for, without asking any TPM: how an agent knows its member while the TPM is not up yet.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED`.
 */
export function expectedTpmOf(sealedKek: Uint8Array): ExpectedTpm {
  const { storageKeyName, endorsementKeyName } = decodeSealedKek(sealedKek)
  return { storageKeyName, endorsementKeyName }
}

/** A TPM as a seal member: where it is, which one it must be, and under which conditions it opens. */
export type TpmSealMemberOptions = TpmAccess &
  Pick<UnsealCredentials, 'pin'> & {
    /** From `readTpmIdentity` at enrolment, or from {@link expectedTpmOf} a record of this node. */
    readonly expected: ExpectedTpm
    /**
     * Conditions of the seal, together with whether there is a `pin`: for what is sealed from now on, and the least that is
     * opened. What was sealed under weaker ones is refused, so that no condition seems to hold that does not.
     */
    readonly policy: SealConditions['policy']
    /**
     * Opens records of method `tpm-imported` too. Their makers need no more than the public storage key, so one proves nothing
     * about where its key came from. One that asks for a PIN is refused all the same. Default: no.
     */
    readonly acceptImported?: boolean
    /**
     * Opens what was sealed under weaker conditions too: to seal it anew under those that are configured, and for nothing else.
     * Default: no.
     */
    readonly acceptWeaker?: boolean
    /** Gives the approved PCR policies. Called at each opening of what is sealed to a signer; what it throws passes through. */
    readonly readPolicies?: () => Promise<readonly PcrPolicy[]>
    /** From `tpmWrappingKey`: for others to wrap with. */
    readonly wrappingKey?: Uint8Array
  }

/**
 * Makes a TPM a member of a seal. Asks the TPM nothing: it may be absent until something is sealed or opened.
 *
 * Its methods throw {@link TpmError}; a wrong PIN or a lockout is never tried again here, nor should the caller (`kind: 'operator'`).
 */
export function tpmSealMember(options: TpmSealMemberOptions): SealMember {
  const { expected, policy, pin, wrappingKey } = options
  return {
    sealType: 'tpm',
    method: 'tpm-sealed',
    ...(wrappingKey === undefined ? {} : { wrappingKey }),
    memberId: tpmMemberId(expected.storageKeyName),
    sealKek: (kek, { signal }) =>
      sealKek(options, expected, pin === undefined ? { policy } : { policy, pin }, kek, { signal }),
    unsealKek: async (sealedKek, { signal, method }) => {
      const { storageKeyName, object, policy: made } = decodeSealedKek(sealedKek)
      assertMadeBy(method, object.method)
      if (object.method === 'imported' && options.acceptImported !== true) {
        throw new TpmError(
          'TPM_METHOD_REFUSED',
          'this key was made outside the TPM, by whoever knows its public key, and no such key is expected here: restore the store from a copy, and find out who wrote it',
        )
      }
      // Nobody else knows the PIN: such a key has one of its maker's choosing, and each attempt would cost a try.
      if (object.method === 'imported' && made.hasPin) {
        throw new TpmError(
          'TPM_METHOD_REFUSED',
          'this key was made outside the TPM and asks for a PIN, which no other node knows; the TPM was not asked: restore the store from a copy, and find out who wrote it',
        )
      }
      if (Buffer.compare(storageKeyName, expected.storageKeyName) !== 0) {
        throw new TpmError('TPM_BLOB_MALFORMED', 'this sealed key is for another TPM than that of this member')
      }
      if (options.acceptWeaker !== true) assertNotWeaker(sealedKek, { policy, hasPin: pin !== undefined })
      const isAuthorized = conditionsOf(sealedKek).state.kind === 'authorized'
      const policies = isAuthorized ? ((await options.readPolicies?.()) ?? []) : []
      return unsealKek(options, sealedKek, pin === undefined ? { policies } : { pin, policies }, { signal })
    },
  }
}

/** A record must say how its sealed key was made: else one that somebody else has made could pass for our own. */
function assertMadeBy(recorded: RecordMethod, actual: SealedKek['object']['method']): void {
  if (recorded === `tpm-${actual}`) return
  throw new TpmError(
    'TPM_METHOD_MISMATCH',
    `this key is ${actual}, and its record says ${recorded}: the record was changed; restore it from a copy, or open by another seal`,
  )
}
