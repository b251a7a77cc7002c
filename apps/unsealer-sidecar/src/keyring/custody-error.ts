export type CustodyErrorCode =
  /** No seal of this node gives the seal key now. */
  | 'CUSTODY_SEALED'
  /** A keyring that came by itself takes away every way in that this node has, or each that works now: it is not held. */
  | 'CUSTODY_SHUT_OUT'

export class CustodyError extends Error {
  override readonly name = 'CustodyError'
  readonly code: CustodyErrorCode

  constructor(code: CustodyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
