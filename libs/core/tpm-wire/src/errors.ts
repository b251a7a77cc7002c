/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type TpmWireErrorCode =
  | 'TPM_WIRE_TRUNCATED' // the bytes end before the structure does
  | 'TPM_WIRE_TRAILING' // the structure ends before the bytes do
  | 'TPM_WIRE_UNKNOWN' // an algorithm, tag or attribute we do not know
  | 'TPM_WIRE_RANGE' // a size or a number outside what its field allows

/** Bytes that are not the TPM structure they should be, or a value that cannot be written as one. */
export class TpmWireError extends Error {
  override readonly name = 'TpmWireError'
  readonly code: TpmWireErrorCode
  constructor(code: TpmWireErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
