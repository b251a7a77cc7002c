import { encodeKeyring, findMember, findSeal } from '@sealwright/keyring'
import { decodeEnrolmentRequest, enrolmentMember, isFingerprintOf, withRootRecords } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealOperations } from '../control/operations.ts'
import { type Custody } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { listedMember } from './facts.ts'

/**
 * Gives a new node a way in, by the public key of its TPM: it replaces that record by one of its own as soon as it has the keyring.
 *
 * @throws {@link OperationError} `OPERATION_NOT_CONFIRMED` if the fingerprint is another one; {EnrolmentError} `ENROLMENT_REQUEST_MALFORMED`; as
 *   `Custody.change`.
 */
export async function approveEnrolment(
  custody: Custody,
  { bytes, fingerprint, label }: Parameters<SealOperations['approveEnrolment']>[0],
  signal: AbortSignal,
): Promise<Awaited<ReturnType<SealOperations['approveEnrolment']>>> {
  const request = decodeEnrolmentRequest(bytes)
  if (!isFingerprintOf(request, fingerprint)) {
    throw new OperationError(
      'OPERATION_NOT_CONFIRMED',
      'this is not the fingerprint of the request: compare it with what the new node itself shows, and let nobody in if it differs',
    )
  }
  const { member, method } = enrolmentMember(request)
  const { keyring } = await custody.change(async ({ keyring: before, sealKeys }, changeSignal) => {
    const seal = findSeal(before, request.sealName)
    if (seal === undefined) {
      throw new OperationError(
        'OPERATION_SEAL_UNKNOWN',
        `the keyring has no seal ${request.sealName}: call the seal of the new node as here`,
      )
    }
    // The same TPM may be a member of another seal.
    if (findMember(before, request.sealName, member.memberId)?.state === 'active') {
      throw new OperationError('OPERATION_INVALID', 'this TPM is a member already: nothing was changed')
    }
    const keyring = await withRootRecords(
      { keyring: before, sealKeys, now: Date.now, randomBytes: randomKeyBytes, signal: changeSignal },
      { sealName: request.sealName, member, method, label },
    )
    return { keyring, sealKeys }
  }, signal)
  return { member: listedMember(keyring, request.sealName, member.memberId), keyring: encodeKeyring(keyring) }
}
