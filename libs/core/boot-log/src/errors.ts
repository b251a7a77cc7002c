/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type BootLogErrorCode =
  | 'BOOT_LOG_MALFORMED' // not a crypto agile event log, or cut, or with bytes behind it
  | 'BOOT_LOG_TOO_LARGE' // more bytes or events than we read
  | 'BOOT_LOG_NO_SHA256' // the firmware measured into other banks only
  | 'BOOT_LOG_NO_SUCH_EVENT' // an event that is to be replaced is not in the log

/** What reading the event log of a boot throws. Messages are for operators. */
export class BootLogError extends Error {
  override readonly name = 'BootLogError'
  readonly code: BootLogErrorCode

  constructor(code: BootLogErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
