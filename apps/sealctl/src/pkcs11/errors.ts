/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type Pkcs11CommandErrorCode =
  | 'PKCS11_COMMAND_NO_MODULE' // nothing says which module, or several seals do
  | 'PKCS11_COMMAND_NO_TOKEN' // nothing says which token
  | 'PKCS11_COMMAND_NO_PIN' // a PIN is needed, and none came
  | 'PKCS11_COMMAND_PIN_DIFFERS' // typed twice, and not the same
  | 'PKCS11_COMMAND_NO_MECHANISM' // the token cannot use a key of the wanted type

/** What the commands for PKCS#11 tokens throw themselves. The message says what to do. */
export class Pkcs11CommandError extends Error {
  override readonly name = 'Pkcs11CommandError'
  readonly code: Pkcs11CommandErrorCode

  constructor(code: Pkcs11CommandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
