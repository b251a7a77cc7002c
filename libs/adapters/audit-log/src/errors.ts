import { errorCodeOf } from '@sealwright/system-error'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type AuditLogErrorCode =
  | 'AUDIT_LOG_FOLDER_UNUSABLE' // the folder is missing, is something else or a link, or is closed to us
  | 'AUDIT_LOG_UNREADABLE' // a file of the log is there, but cannot be read
  | 'AUDIT_LOG_WRITE_FAILED' // the disk does not take lines now; they are kept and tried again
  | 'AUDIT_LOG_BROKEN' // what was found at the start does not hold; the log goes on in a new segment that says so
  | 'AUDIT_LOG_EVENTS_LOST' // too many events were waiting for the disk
  | 'AUDIT_LOG_EVENT_REFUSED' // an event that no line can hold: a mistake of the program; its error is the cause
  | 'AUDIT_LOG_CLOSED' // an event came after the log was closed

/** Every failure of this library. `message` is for the operator and says what to do; switch on `code`. */
export class AuditLogError extends Error {
  override readonly name = 'AuditLogError'
  readonly code: AuditLogErrorCode

  constructor(code: AuditLogErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A failure of the folder itself. */
export function folderFailure(path: string, cause: unknown): AuditLogError {
  const message = `the folder ${path} of the audit log cannot be used: check that it exists, is no link and is ours (${codeFor(cause)})`
  return new AuditLogError('AUDIT_LOG_FOLDER_UNUSABLE', message, { cause })
}

/** A failure to read a file. */
export function readFailure(path: string, cause: unknown): AuditLogError {
  const message = `${path} cannot be read: check its owner, the disk and the kernel log (${codeFor(cause)})`
  return new AuditLogError('AUDIT_LOG_UNREADABLE', message, { cause })
}

/** A failure to write a file. */
export function writeFailure(path: string, cause: unknown): AuditLogError {
  const message = `${path} cannot be written: free space, or check the mount and the kernel log (${codeFor(cause)})`
  return new AuditLogError('AUDIT_LOG_WRITE_FAILED', message, { cause })
}

function codeFor(cause: unknown): string {
  return errorCodeOf(cause) ?? 'no code'
}
