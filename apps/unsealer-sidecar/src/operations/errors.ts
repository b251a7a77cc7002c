/** Stable codes of what operators ask for and cannot have. Adding one is minor; renaming or removing one is breaking. */
export type OperationErrorCode =
  | 'OPERATION_SEAL_UNKNOWN' // no seal of this name, in the keyring or the configuration
  | 'OPERATION_MEMBER_UNKNOWN' // no such active member
  | 'OPERATION_NOT_CONFIRMED' // the name was not typed again, or wrongly; or the members that stay were not confirmed
  | 'OPERATION_LAST_WAY_IN' // nothing would be left that opens this node, another one, or what blobs may name
  | 'OPERATION_SEAL_IN_USE' // the configuration of this node has it
  | 'OPERATION_NODES_UNCHECKED' // other nodes may be open by it, and nobody says to have looked
  | 'OPERATION_MEMBERS_UNREACHABLE' // a break of the chain would leave them out, and they were not removed by name
  | 'OPERATION_MEMBERS_CHANGED' // others than those that were confirmed would get the next key
  | 'OPERATION_SNAPSHOT_REFUSED' // not of this cluster, or from before the last rotation
  | 'OPERATION_NODES_UNKNOWN' // servers of the cluster that the keyring here knows nothing of
  | 'OPERATION_SEAL_FAILED' // the seal does not do its part; its own code and words are in the message
  | 'OPERATION_INVALID' // what is asked for cannot be

/** What this folder throws. Messages are for operators: what is wrong, and what to do. */
export class OperationError extends Error {
  override readonly name = 'OperationError'
  readonly code: OperationErrorCode

  constructor(code: OperationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
