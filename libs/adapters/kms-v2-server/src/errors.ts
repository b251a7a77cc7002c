/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KmsServerErrorCode = 'KMS_SERVER_OWNER_REFUSED' // the socket cannot be given to the configured user or group

/** The KMS server cannot be started. The message says what to do. */
export class KmsServerError extends Error {
  override readonly name = 'KmsServerError'
  readonly code: KmsServerErrorCode

  constructor(code: KmsServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
