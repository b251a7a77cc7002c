import {
  encodeKeyring,
  findMember,
  findRecords,
  findSeal,
  type Keyring,
  type Member,
  reachedGenerations,
} from '@sealwright/keyring'
import { decodeEnrolmentRequest, enrolmentMember, isFingerprintOf, withRootRecords } from '@sealwright/node-seals'
import { KmsKeyringError } from './keyring-error.ts'
import { changeKeyring, type KeyringNode } from './keyring-unlock.ts'

/** A node that asks to be let in, and what an operator has typed. */
export interface Admission {
  /** An enrolment request. */
  readonly request: Uint8Array
  /** As the new node shows it. */
  readonly fingerprint: string
  /** What the new node is called from now on. */
  readonly label: string
}

/**
 * Gives a new node a way in, by the public key of its TPM: it replaces that record by one of its own as soon as it has the keyring. The same for
 * a node that is a member, but from a time when versions were retired that are back now.
 *
 * @returns the keyring, for the new node to be brought.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_NOT_CONFIRMED`, `KMS_KEYRING_SEAL_UNKNOWN`, `KMS_KEYRING_MEMBER_KNOWN`; {EnrolmentError}
 *   `ENROLMENT_REQUEST_MALFORMED`; as `changeKeyring`.
 */
export async function admitNode(
  node: KeyringNode,
  { request: bytes, fingerprint, label }: Admission,
  signal: AbortSignal,
): Promise<{ readonly keyring: Keyring; readonly bytes: Uint8Array; readonly sealName: string }> {
  const request = decodeEnrolmentRequest(bytes)
  if (!isFingerprintOf(request, fingerprint)) {
    throw new KmsKeyringError(
      'KMS_KEYRING_NOT_CONFIRMED',
      'this is not the fingerprint of the request: compare it with what the new node itself shows, and let nobody in if it differs',
    )
  }
  const { sealName } = request
  const { member, method } = enrolmentMember(request)
  const { keyring } = await changeKeyring(
    node,
    async unlocked => {
      if (findSeal(unlocked.keyring, sealName) === undefined) {
        throw new KmsKeyringError(
          'KMS_KEYRING_SEAL_UNKNOWN',
          `the keyring has no seal ${sealName}: call the seal of the new node as here`,
        )
      }
      const listed = findMember(unlocked.keyring, sealName, member.memberId)
      if (listed?.state === 'active' && reachesAll(unlocked.keyring, listed)) {
        throw new KmsKeyringError(
          'KMS_KEYRING_MEMBER_KNOWN',
          `this TPM is a member of ${sealName} already, and nothing was changed: export the keyring, and import it on that node`,
        )
      }
      const keyring = await withRootRecords(unlocked, { sealName, member, method, label })
      return { keyring, sealKeys: unlocked.sealKeys }
    },
    signal,
  )
  return { keyring, bytes: encodeKeyring(keyring), sealName }
}

/** Whether a member opens every version that is not retired. */
function reachesAll(keyring: Keyring, member: Member): boolean {
  const active = keyring.generations.filter(({ state }) => state === 'active')
  return reachedGenerations(keyring, findRecords(keyring, member)).length === active.length
}
