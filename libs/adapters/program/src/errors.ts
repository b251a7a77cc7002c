/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type ProgramErrorCode =
  | 'CONFIG_UNREADABLE' // the configuration file cannot be read
  | 'CONFIG_UNSAFE' // other users may write it: they would choose the TPM, the store and the PIN file
  | 'SECRET_FILE_UNREADABLE' // a PIN or authorisation file cannot be read
  | 'SECRET_FILE_UNSAFE' // everybody may read it, or others than its owner may write it, or it belongs to another user
  | 'SECRET_FILE_SIZE' // empty, or longer than any secret may be

/** A file that the program was pointed at and cannot use. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly code: ProgramErrorCode

  constructor(code: ProgramErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
