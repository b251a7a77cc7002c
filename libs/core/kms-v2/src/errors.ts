/**
 * Stable codes. Adding one is minor; renaming or removing one is breaking. What each becomes for kube-apiserver is in
 * {@link grpcStatusOf}.
 */
export type KmsErrorCode =
  | 'KMS_REQUEST_INVALID' // a field is missing, too long, or not what a request holds
  | 'KMS_KEY_ID_UNKNOWN' // no version of our key has, or ever had, this key id
  | 'KMS_CIPHERTEXT_REFUSED' // not made by us, changed since, or not the one that these annotations belong to
  | 'KMS_VERSION_RETIRED' // ours, by a version of the key that no longer decrypts
  | 'KMS_KEY_GONE' // the key in the backend is not the one that we knew: deleted, replaced, or gone back in time
  | 'KMS_BACKEND_UNAVAILABLE' // down, sealed, without a leader, or overloaded; time may mend it
  | 'KMS_BACKEND_REFUSED' // it answers, and does not let us: a token, a policy, a PIN; an operator mends it
  | 'KMS_BACKEND_BROKEN' // it answered what cannot be
  | 'KMS_DEADLINE_EXCEEDED' // no answer in the time that the caller, or we, allow
  | 'KMS_CANCELLED' // the caller has gone
  | 'KMS_NOT_READY' // no version of the key is known yet, or none was looked at since the start
  | 'KMS_STOPPING' // the plugin is being stopped

/** Status codes of gRPC that we answer with (grpc.io, "Status codes and their use in gRPC"). */
export type GrpcStatus =
  'INVALID_ARGUMENT' | 'FAILED_PRECONDITION' | 'UNAVAILABLE' | 'DEADLINE_EXCEEDED' | 'CANCELLED' | 'INTERNAL'

const GRPC_STATUS: Readonly<Record<KmsErrorCode, GrpcStatus>> = {
  KMS_REQUEST_INVALID: 'INVALID_ARGUMENT',
  KMS_KEY_ID_UNKNOWN: 'INVALID_ARGUMENT',
  KMS_CIPHERTEXT_REFUSED: 'INVALID_ARGUMENT',
  KMS_VERSION_RETIRED: 'FAILED_PRECONDITION',
  KMS_KEY_GONE: 'FAILED_PRECONDITION',
  KMS_BACKEND_UNAVAILABLE: 'UNAVAILABLE',
  KMS_BACKEND_REFUSED: 'UNAVAILABLE',
  KMS_BACKEND_BROKEN: 'INTERNAL',
  KMS_DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  KMS_CANCELLED: 'CANCELLED',
  KMS_NOT_READY: 'UNAVAILABLE',
  KMS_STOPPING: 'UNAVAILABLE',
}

/**
 * What this library and every backend throw. The message goes to kube-apiserver, into its log and to its users: it says what to do,
 * and holds no address, key name, path or token. Those are in `cause`, for our own log.
 */
export class KmsError extends Error {
  override readonly name = 'KmsError'
  readonly code: KmsErrorCode

  constructor(code: KmsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What a failure becomes for kube-apiserver. What is no {@link KmsError} is a bug: `INTERNAL`. */
export function grpcStatusOf(error: unknown): GrpcStatus {
  return error instanceof KmsError ? GRPC_STATUS[error.code] : 'INTERNAL'
}

/** Stable codes of what a node remembers. */
export type KmsStateErrorCode =
  | 'KMS_STATE_MALFORMED' // damaged, or none of ours
  | 'KMS_STATE_FROM_FUTURE' // written by a newer program

/** A state that cannot be read. It was not touched. */
export class KmsStateError extends Error {
  override readonly name = 'KmsStateError'
  readonly code: KmsStateErrorCode

  constructor(code: KmsStateErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
