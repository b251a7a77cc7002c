/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type BootstrapErrorCode =
  | 'BOOTSTRAP_KEY_MISSING' // no seal key where it was said to be, and nothing stored that could stand in, or an option that needs it
  | 'BOOTSTRAP_KEY_UNREADABLE' // something is there, but it is not a regular file, or we may not read it
  | 'BOOTSTRAP_KEY_UNSAFE' // others than root and ourselves own it, or may write it: they would choose the cluster's key
  | 'BOOTSTRAP_KEY_NEWLINE' // a line break in or after the base64 text
  | 'BOOTSTRAP_KEY_BASE64' // not standard base64
  | 'BOOTSTRAP_KEY_LENGTH' // not 32 bytes once decoded
  | 'BOOTSTRAP_KEY_ID' // not 1 to 64 printable ASCII characters, or not the name that this key has in the store
  | 'BOOTSTRAP_KEY_RETIRED' // a key of this store that leads to the current one no more
  | 'BOOTSTRAP_PROOF_FAILED' // what was wrapped did not open again to the same key

/** A bootstrap that stopped before it changed the store. The message says what to do. */
export class BootstrapError extends Error {
  override readonly name = 'BootstrapError'
  readonly code: BootstrapErrorCode

  constructor(code: BootstrapErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
