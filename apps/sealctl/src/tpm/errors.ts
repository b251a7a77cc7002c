/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type TpmCommandErrorCode =
  | 'TPM_COMMAND_NO_PCRS' // nothing says which PCRs a policy is to be about
  | 'TPM_COMMAND_PCR_CONFLICT' // a value for a PCR that is not asked for, or two of them
  | 'TPM_COMMAND_LOG_DISAGREES' // an event log that does not add up to what the TPM has
  | 'TPM_COMMAND_INPUT_UNREADABLE' // an event log that cannot be read
  | 'TPM_COMMAND_KEY_UNUSABLE' // no private key in PEM, or a wrong passphrase
  | 'TPM_COMMAND_NOTHING_TO_SIGN' // a file in which every policy is signed already

/** What the commands for TPM seals throw themselves. The message says what to do. */
export class TpmCommandError extends Error {
  override readonly name = 'TpmCommandError'
  readonly code: TpmCommandErrorCode

  constructor(code: TpmCommandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
