/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type PcrPoliciesErrorCode =
  | 'PCR_POLICIES_MALFORMED' // not a policies file of a version we know, or not in its one spelling
  | 'PCR_POLICIES_TOO_LARGE' // more policies or bytes than a file may hold
  | 'PCR_POLICIES_DUPLICATE' // two policies of one reference for the same values
  | 'PCR_POLICIES_KEY_REFUSED' // not a P-256 key
  | 'PCR_POLICIES_INPUT_INVALID' // a label, a reference or values that cannot be

/** What working with approved PCR policies throws. Messages are for operators. */
export class PcrPoliciesError extends Error {
  override readonly name = 'PcrPoliciesError'
  readonly code: PcrPoliciesErrorCode

  constructor(code: PcrPoliciesErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
