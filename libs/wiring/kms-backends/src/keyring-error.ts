import { type SealFailure } from '@sealwright/unseal'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KmsKeyringErrorCode =
  | 'KMS_KEYRING_MISSING' // this node has no keyring for its KMS plugin yet
  | 'KMS_KEYRING_EXISTS' // a keyring is there already: no other one is made in its place
  | 'KMS_KEYRING_SEALED' // no seal of this node opens the keyring now
  | 'KMS_KEYRING_UNPROVEN' // a seal of this node could not be given a record, or does not open by it
  | 'KMS_KEYRING_SINGLE_WAY_IN' // only one device would open it: with that, all that is encrypted would be lost
  | 'KMS_KEYRING_FORKED' // two nodes have rotated at the same time: only one of the two versions can go on
  | 'KMS_KEYRING_VERSION' // no such version, or one with which that cannot be done
  | 'KMS_KEYRING_NOT_VERIFIED' // nothing shows that a version is needed no longer
  | 'KMS_KEYRING_SEAL_UNKNOWN' // the keyring, or the configuration, has no such seal
  | 'KMS_KEYRING_NOT_CONFIRMED' // the fingerprint of an enrolment request is another one
  | 'KMS_KEYRING_MEMBER_KNOWN' // the device of an enrolment request is a member already

/** What goes wrong with the keyring of a KMS plugin. Messages are for operators. */
export class KmsKeyringError extends Error {
  override readonly name = 'KmsKeyringError'
  readonly code: KmsKeyringErrorCode

  constructor(code: KmsKeyringErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Why each of several seals did not open, in one line. */
export function listOf(failures: Iterable<readonly [string, Pick<SealFailure, 'code' | 'message'>]>): string {
  return [...failures].map(([name, { code, message }]) => `${name}: ${code}: ${message}`).join('; ')
}
