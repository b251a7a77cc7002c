/** What every failed request is answered with. */
export interface RefusalView {
  /** Sentences for people. */
  readonly errors: readonly string[]
  /** Stable: {@link ControlApiErrorCode}, or the code of the error that an operation ended with. */
  readonly code: string
}

export const BAD_REQUEST = 400
export const NOT_FOUND = 404
/** Refused as things are: also whatever would take the last way in. */
export const CONFLICT = 409
export const INTERNAL = 500
/** Sealed, or a device or server that is needed does not do its part. */
export const UNAVAILABLE = 503

const REQUEST_TIMEOUT = 408
const METHOD_NOT_ALLOWED = 405
const CONTENT_TOO_LARGE = 413
const UNSUPPORTED_MEDIA_TYPE = 415

/** Codes that are not answered as the rest of their family is. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  CONTROL_REQUEST_INVALID: BAD_REQUEST,
  CONTROL_REQUEST_SLOW: REQUEST_TIMEOUT,
  CONTROL_BODY_TOO_LARGE: CONTENT_TOO_LARGE,
  CONTROL_CONTENT_TYPE: UNSUPPORTED_MEDIA_TYPE,
  CONTROL_PATH_UNKNOWN: NOT_FOUND,
  CONTROL_METHOD_UNKNOWN: METHOD_NOT_ALLOWED,
  CONTROL_SEAL_UNKNOWN: NOT_FOUND,
  CONTROL_INTERNAL: INTERNAL,

  OPERATION_SEAL_UNKNOWN: NOT_FOUND,
  OPERATION_MEMBER_UNKNOWN: NOT_FOUND,
  OPERATION_NOT_CONFIRMED: BAD_REQUEST,
  OPERATION_INVALID: BAD_REQUEST,
  OPERATION_SEAL_FAILED: UNAVAILABLE,

  KEYRING_CLOSED: UNAVAILABLE,
  KEYRING_NO_RECORD: NOT_FOUND,
  KEYRING_MALFORMED: BAD_REQUEST,
  KEYRING_UNSUPPORTED: BAD_REQUEST,
  KEYRING_INPUT_INVALID: BAD_REQUEST,

  SHAMIR_SHARE_REPEATED: CONFLICT,
  SHAMIR_NONCE_MISMATCH: CONFLICT,
  SHAMIR_CEREMONY_OVER: CONFLICT,
  SHAMIR_KEY_MISMATCH: CONFLICT,
  SHAMIR_SET_MALFORMED: CONFLICT,
  SHAMIR_SET_UNSUPPORTED: CONFLICT,
  SHAMIR_SET_UNPROVEN: INTERNAL,

  STORE_CHANGED: CONFLICT,
  STORE_IN_USE: CONFLICT,
}

/**
 * Families whose messages are written for operators: they carry facts and what to do, no path of a caller, no secret.
 */
const STATUS_OF_FAMILY: readonly (readonly [string, number])[] = [
  ['OPERATION_', CONFLICT],
  ['CONFIG_', CONFLICT],
  ['ENROLMENT_', BAD_REQUEST],
  ['RAFT_SNAPSHOT_', BAD_REQUEST],
  ['SHAMIR_', BAD_REQUEST],
  ['KEYRING_', CONFLICT],
  ['CUSTODY_', UNAVAILABLE],
  ['STORE_', UNAVAILABLE],
  ['SEAL_', UNAVAILABLE],
  ['TPM_', UNAVAILABLE],
  ['PKCS11_', UNAVAILABLE],
  ['TRANSIT_', UNAVAILABLE],
  ['OPENBAO_', UNAVAILABLE],
  ['AUDIT_LOG_', UNAVAILABLE],
]

/**
 * The HTTP status for the code of an error.
 *
 * @returns `undefined` for a code whose message is not meant for callers: they get {@link INTERNAL} and a fixed text.
 */
export function statusOfCode(code: string): number | undefined {
  if (Object.hasOwn(STATUS_OF_CODE, code)) return STATUS_OF_CODE[code]
  return STATUS_OF_FAMILY.find(([beginning]) => code.startsWith(beginning))?.[1]
}
