/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type SignedPolicyErrorCode =
  | 'POLICIES_FILE_UNREADABLE' // missing, no regular file, or we may not read it
  | 'POLICIES_FILE_CHANGED' // somebody else has written it meanwhile
  | 'POLICIES_FILE_NOT_WRITTEN' // disk full, read-only, or we may not write there
  | 'POLICIES_FILE_EXISTS' // a new file was to be made, and there is one
  | 'POLICIES_NOT_CONFIGURED' // no TPM seal of that name, or one that is not bound to a signer
  | 'POLICIES_NOT_APPROVED' // policies that were to be added, and that the seal's signer has not signed
  | 'POLICIES_NOT_PROVEN' // old policies were to be dropped, and the seal does not open by a newer one

/** What the life of signed PCR policies on a node throws. Messages are for operators. */
export class SignedPolicyError extends Error {
  override readonly name = 'SignedPolicyError'
  readonly code: SignedPolicyErrorCode

  constructor(code: SignedPolicyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
