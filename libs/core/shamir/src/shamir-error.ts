/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type ShamirErrorCode =
  | 'SHAMIR_SHARE_MALFORMED' // no share: it does not begin as one does, or what it says of its set cannot be
  | 'SHAMIR_SHARE_UNSUPPORTED' // a share of a version that a newer Sealwright may know
  | 'SHAMIR_SHARE_TRUNCATED' // the text of a share ends early
  | 'SHAMIR_SHARE_MISTYPED' // a typing error; `group` says where, if that can be told
  | 'SHAMIR_SHARE_WRONG' // well typed, but not the share of this index that was handed out; `index` names it
  | 'SHAMIR_SHARE_REPEATED' // a share of this index is in already; `index` names it
  | 'SHAMIR_OTHER_CLUSTER' // a share of another cluster
  | 'SHAMIR_OTHER_SEAL' // a share of another seal of this cluster
  | 'SHAMIR_OTHER_SET' // a share of another set of shares
  | 'SHAMIR_NONCE_MISMATCH' // the ceremony was begun anew since the caller looked
  | 'SHAMIR_CEREMONY_OVER' // it is complete or has failed: only a reset goes on from there
  | 'SHAMIR_KEY_MISMATCH' // shares that passed their checks rebuild another key: the check values were changed
  | 'SHAMIR_SET_MALFORMED' // a member whose wrapping key and data are no set of shares
  | 'SHAMIR_SET_UNSUPPORTED' // data of a version that a newer Sealwright may know
  | 'SHAMIR_SET_UNPROVEN' // new shares did not rebuild their key: nothing was handed out
  | 'SHAMIR_WRAPPING_KEY_INVALID' // no X-Wing public key
  | 'SHAMIR_SEALED_KEK_MALFORMED' // not a sealed KEK
  | 'SHAMIR_SEALED_KEK_UNSUPPORTED' // a sealed KEK of a version that a newer Sealwright may know
  | 'SHAMIR_SEALED_KEK_OTHER_MEMBER' // sealed for another member
  | 'SHAMIR_SEALED_KEK_AUTH_FAILED' // does not open: it was changed
  | 'SHAMIR_METHOD_MISMATCH' // its record says that it was made in another way
  | 'SHAMIR_CANCELLED' // the caller's signal fired
  | 'SHAMIR_INPUT_INVALID' // another argument of the caller cannot be used

/** Details that only some errors have. */
export type ShamirErrorOptions = ErrorOptions & {
  /** Index of the share, 1 to 255. */
  readonly index?: number
  /** Group of the share's text, from 1. */
  readonly group?: number
}

/** What this library throws. The message states ids, indexes and sizes, never a digit of a share nor a byte of a key. */
export class ShamirError extends Error {
  override readonly name = 'ShamirError'
  readonly code: ShamirErrorCode
  readonly index: number | undefined
  readonly group: number | undefined

  constructor(code: ShamirErrorCode, message: string, options: ShamirErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.index = options.index
    this.group = options.group
  }
}

/** The error for a sealed KEK that does not open. */
export function notAuthentic(options?: ErrorOptions): ShamirError {
  return new ShamirError(
    'SHAMIR_SEALED_KEK_AUTH_FAILED',
    'the sealed KEK was changed: restore the record from a copy, or open by another seal',
    options,
  )
}

/** The error for a public key that nothing can be sealed for. */
export function wrappingKeyInvalid(reason: string, options?: ErrorOptions): ShamirError {
  return new ShamirError('SHAMIR_WRAPPING_KEY_INVALID', `this wrapping key cannot be used: ${reason}`, options)
}
