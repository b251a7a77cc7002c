/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type TransitErrorCode =
  | 'TRANSIT_OPTIONS_INVALID' // an address, name or key that cannot be; nothing was sent
  | 'TRANSIT_UNREACHABLE' // no connection
  | 'TRANSIT_TIMEOUT' // our deadline passed
  | 'TRANSIT_CANCELLED' // the caller's signal fired, or the access was closed
  | 'TRANSIT_CONNECTION_CUT' // no whole answer came, twice
  | 'TRANSIT_CERTIFICATE_UNTRUSTED' // of an authority that we do not know
  | 'TRANSIT_CERTIFICATE_EXPIRED' // or not valid yet: one of the clocks may be wrong
  | 'TRANSIT_CERTIFICATE_NAME' // of another host
  | 'TRANSIT_CLIENT_CERTIFICATE' // the other OpenBao does not take ours, or wants one
  | 'TRANSIT_TLS' // a CA file or key that cannot be used, or no TLS on the other side
  | 'TRANSIT_CREDENTIAL_UNREADABLE' // the token, secret id, JWT or client certificate cannot be read
  | 'TRANSIT_LOGIN_REFUSED' // 400 with a reason
  | 'TRANSIT_LOGIN_DENIED' // 403 without one: no such login, a locked role, or its reviewer said no
  | 'TRANSIT_SECRET_ID_REFUSED' // not sent again by itself: the fifth refusal locks the role for all
  | 'TRANSIT_DENIED' // 403: the token is no longer good, or its policy does not allow this
  | 'TRANSIT_SEALED' // the other OpenBao is sealed
  | 'TRANSIT_NAMESPACE_MISSING' // no such namespace
  | 'TRANSIT_MOUNT_MISSING' // nothing is mounted there
  | 'TRANSIT_KEY_MISSING' // no such key
  | 'TRANSIT_KEY_SOFT_DELETED' // deleted, but it can be restored
  | 'TRANSIT_KEY_VERSION' // sealed by a version below min_decryption_version
  | 'TRANSIT_VERSION_TOO_NEW' // a version that the key does not have: an older copy of it, or a node that lags behind
  | 'TRANSIT_VERSION_NOT_ENCRYPTING' // a version below min_encryption_version, or trimmed away
  | 'TRANSIT_KEY_UNSUITABLE' // a key of a type that cannot do this
  | 'TRANSIT_CIPHERTEXT_REFUSED' // sealed by another key, or changed; never told apart
  | 'TRANSIT_REQUEST_REFUSED' // any other 400
  | 'TRANSIT_RATE_LIMITED' // a quota of the other OpenBao
  | 'TRANSIT_OVERLOADED' // too many calls wait already; nothing was sent
  | 'TRANSIT_REDIRECTED' // only a leader can do this, and there may be none
  | 'TRANSIT_STATUS' // any other status
  | 'TRANSIT_RESPONSE_MALFORMED' // an answer that no OpenBao gives
  | 'TRANSIT_BLOB_MALFORMED' // not a sealed KEK of a version we know
  | 'TRANSIT_METHOD_MISMATCH' // made in another way than its record says
  | 'TRANSIT_MEMBER_MISMATCH' // made for another member than this one

/**
 * Whether trying again makes sense: `transient` yes, later; `operator` only after somebody has done something, since a retry may
 * do harm; `permanent` not as things are, but a retry harms nothing and notices a repair.
 */
export type TransitErrorKind = 'permanent' | 'operator' | 'transient'

const KINDS: Readonly<Record<TransitErrorCode, TransitErrorKind>> = {
  TRANSIT_OPTIONS_INVALID: 'permanent',
  TRANSIT_UNREACHABLE: 'transient',
  TRANSIT_TIMEOUT: 'transient',
  TRANSIT_CANCELLED: 'transient',
  TRANSIT_CONNECTION_CUT: 'transient',
  TRANSIT_CERTIFICATE_UNTRUSTED: 'permanent',
  TRANSIT_CERTIFICATE_EXPIRED: 'permanent',
  TRANSIT_CERTIFICATE_NAME: 'permanent',
  TRANSIT_CLIENT_CERTIFICATE: 'permanent',
  TRANSIT_TLS: 'permanent',
  TRANSIT_CREDENTIAL_UNREADABLE: 'permanent',
  TRANSIT_LOGIN_REFUSED: 'permanent',
  TRANSIT_LOGIN_DENIED: 'permanent',
  TRANSIT_SECRET_ID_REFUSED: 'operator',
  TRANSIT_DENIED: 'permanent',
  TRANSIT_SEALED: 'transient',
  TRANSIT_NAMESPACE_MISSING: 'permanent',
  TRANSIT_MOUNT_MISSING: 'permanent',
  TRANSIT_KEY_MISSING: 'permanent',
  TRANSIT_KEY_SOFT_DELETED: 'permanent',
  TRANSIT_KEY_VERSION: 'permanent',
  // A node that lags behind catches up.
  TRANSIT_VERSION_TOO_NEW: 'transient',
  TRANSIT_VERSION_NOT_ENCRYPTING: 'permanent',
  TRANSIT_KEY_UNSUITABLE: 'permanent',
  TRANSIT_CIPHERTEXT_REFUSED: 'permanent',
  TRANSIT_REQUEST_REFUSED: 'permanent',
  TRANSIT_RATE_LIMITED: 'transient',
  TRANSIT_OVERLOADED: 'transient',
  TRANSIT_REDIRECTED: 'transient',
  TRANSIT_STATUS: 'transient',
  // One garbled answer must not close a node.
  TRANSIT_RESPONSE_MALFORMED: 'transient',
  TRANSIT_BLOB_MALFORMED: 'permanent',
  TRANSIT_METHOD_MISMATCH: 'permanent',
  TRANSIT_MEMBER_MISMATCH: 'permanent',
}

/** What can go wrong between us and a transit key. Messages are written for the operator; switch on `code`. */
export class TransitError extends Error {
  override readonly name = 'TransitError'
  readonly code: TransitErrorCode
  readonly kind: TransitErrorKind

  constructor(code: TransitErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.kind = KINDS[code]
  }
}
