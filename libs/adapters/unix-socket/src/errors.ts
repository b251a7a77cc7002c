/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type UnixSocketErrorCode =
  | 'SOCKET_PATH_TOO_LONG' // over 107 bytes: the kernel would cut it off
  | 'SOCKET_IN_USE' // somebody answers on it
  | 'SOCKET_PATH_TAKEN' // something that is not a socket is there
  | 'SOCKET_FOLDER_UNUSABLE' // its folder is missing, may not be read and written, or lets others write
  | 'SOCKET_OWNER_REFUSED' // it cannot be given to the user or group that it is for

/** A Unix socket that cannot be listened on. The message says what to do. */
export class UnixSocketError extends Error {
  override readonly name = 'UnixSocketError'
  readonly code: UnixSocketErrorCode

  constructor(code: UnixSocketErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
