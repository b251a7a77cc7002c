/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type LocalErrorCode =
  | 'LOCAL_INPUT_UNREADABLE' // a file that was named cannot be read
  | 'LOCAL_SNAPSHOT_WITHOUT_KEYRING' // a snapshot of a cluster that Sealwright did not seal, or an old one
  | 'LOCAL_CLUSTER_UNNAMED' // another node has made the record of this one, and nobody says which cluster is meant
  | 'LOCAL_STORE_NEWER' // the store of this node has a generation that the keyring does not reach
  | 'LOCAL_NOT_OPENED' // neither a seal of this node nor the shares open the keyring
  | 'LOCAL_SEAL_UNKNOWN' // the configuration, or the keyring, has no such seal
  | 'LOCAL_NO_SHARES' // shares are needed, and none came

/** What the commands that need no agent throw. Messages are for operators. */
export class LocalError extends Error {
  override readonly name = 'LocalError'
  readonly code: LocalErrorCode

  constructor(code: LocalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
