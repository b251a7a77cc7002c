/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type SealctlErrorCode =
  | 'SEALCTL_NOT_CONFIRMED' // the name was not typed again, or another one was
  | 'SEALCTL_NO_TERMINAL' // nobody is there to ask or to show shares to, and no option stands in
  | 'SEALCTL_NO_SHARE' // no share was given
  | 'SEALCTL_INPUT_UNREADABLE' // a file or input that cannot be read, or has too many bytes
  | 'SEALCTL_OUTPUT_UNUSABLE' // a file or folder that is there already, or cannot be written
  | 'SEALCTL_MEMBER_UNKNOWN' // no active member of this id or label, or several of this label
  | 'SEALCTL_SEAL_UNKNOWN' // node.yaml of this node has no such seal, or has it disabled
  | 'SEALCTL_NO_KMS_KEYRING' // kms.yaml of this node has a backend of another type
  | 'SEALCTL_USAGE' // arguments that no command has

/** What goes wrong on this side of the control socket. The message says what to do, and holds no share. */
export class SealctlError extends Error {
  override readonly name = 'SealctlError'
  readonly code: SealctlErrorCode

  constructor(code: SealctlErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Arguments that no command has, or that do not go together. */
export function usageError(message: string): SealctlError {
  return new SealctlError('SEALCTL_USAGE', message)
}
