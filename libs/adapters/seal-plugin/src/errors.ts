/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type SealPluginErrorCode =
  | 'SEAL_PLUGIN_PATH_INVALID' // the folder's path cannot stand in a handshake line or a Unix socket address
  | 'SEAL_PLUGIN_DIRECTORY_UNSAFE' // the folder is a link, is not a folder, or belongs to somebody else
  | 'SEAL_PLUGIN_DIRECTORY_IN_USE' // another live agent serves this folder
  | 'SEAL_PLUGIN_FOREIGN_FILE' // something that we did not make lies where a socket or pipe should be
  | 'SEAL_PLUGIN_MKFIFO_FAILED' // the `mkfifo` program is missing or refused
  | 'SEAL_PLUGIN_IO_FAILED' // the file system refused; `cause` says how
  | 'SEAL_PLUGIN_REQUEST_INVALID' // a connector's request does not carry one usable client certificate
  | 'SEAL_PLUGIN_BLOB_MALFORMED' // bytes that are no blob as OpenBao stores it
  | 'SEAL_PLUGIN_CLOSED' // the server was closed while this was under way

/** Thrown by everything in this lib. Messages may name files; they stay in the agent's own log. */
export class SealPluginError extends Error {
  override readonly name = 'SealPluginError'
  readonly code: SealPluginErrorCode

  constructor(code: SealPluginErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
