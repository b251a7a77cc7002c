/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type EnvelopeErrorCode =
  | 'ENVELOPE_MALFORMED' // not an envelope: another magic, a field that is short, long or empty, bytes left over
  | 'ENVELOPE_UNSUPPORTED' // a version, algorithm or purpose that a newer Sealwright may know
  | 'ENVELOPE_TOO_LARGE' // longer than an envelope may be
  | 'ENVELOPE_PURPOSE_MISMATCH' // an envelope made for another purpose than the caller's
  | 'ENVELOPE_AUTH_FAILED' // wrong key, wrong context or tampering; we never say which
  | 'ENVELOPE_INPUT_INVALID' // the caller's key, key reference, plaintext, context or nonce source cannot be used

/** What this library throws. The message states sizes and numbers, never contents. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
  readonly code: EnvelopeErrorCode

  constructor(code: EnvelopeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
