import { errorCodeOf } from '@sealwright/system-error'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type StaticDeliveryErrorCode =
  | 'STATIC_DELIVERY_NAME_INVALID' // a file name or key id that cannot be used
  | 'STATIC_DELIVERY_FOLDER_UNUSABLE' // the folder is missing, is none, is not ours, or others may write to it
  | 'STATIC_DELIVERY_FOREIGN_FILE' // something that is not ours stands in the place of a pipe or key file
  | 'STATIC_DELIVERY_MKFIFO_FAILED' // the mkfifo program did not make a pipe
  | 'STATIC_DELIVERY_IO_FAILED' // any other failure of the file system
  | 'STATIC_DELIVERY_KEY_LENGTH' // the unwrapped key has not 32 bytes
  | 'STATIC_DELIVERY_KEY_UNKNOWN' // there is no such key to put into a key file
  | 'STATIC_DELIVERY_NOT_IN_MEMORY' // a key file would lie on a disk

/** What can go wrong in handing the seal key to an OpenBao with a static seal. The message says what to do, and holds no key bytes. */
export class StaticDeliveryError extends Error {
  override readonly name = 'StaticDeliveryError'
  readonly code: StaticDeliveryErrorCode

  constructor(code: StaticDeliveryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A failure of the file system. One that has a code of ours already stays as it is. */
export function ioFailure(what: string, cause: unknown): StaticDeliveryError {
  if (cause instanceof StaticDeliveryError) return cause
  const reason = errorCodeOf(cause) ?? 'no code'
  return new StaticDeliveryError('STATIC_DELIVERY_IO_FAILED', `cannot ${what} (${reason})`, { cause })
}
