export type CustodyErrorCode =
  /** No seal of this node gives the seal key now. */
  'CUSTODY_SEALED'

export class CustodyError extends Error {
  override readonly name = 'CustodyError'
  readonly code: CustodyErrorCode

  constructor(code: CustodyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
