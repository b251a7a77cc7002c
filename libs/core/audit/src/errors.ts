/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type AuditErrorCode =
  | 'AUDIT_EVENT_INVALID' // an event with a field or value that its kind does not have
  | 'AUDIT_CHECKPOINT_KEY_INVALID' // a checkpoint key that is no secret key of 32 bytes, or has an unusable id

/** What this library throws. The message names kinds and fields, never values. */
export class AuditError extends Error {
  override readonly name = 'AuditError'
  readonly code: AuditErrorCode

  constructor(code: AuditErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
