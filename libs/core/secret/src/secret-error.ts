/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type SecretErrorCode = 'SECRET_BASE64_INVALID' // not the one canonical standard base64 spelling of at least one byte

/** What this library throws. The message states sizes and offsets, never bytes. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
  readonly code: SecretErrorCode

  constructor(code: SecretErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
