/** Return values (`CKR_` in pkcs11t.h of PKCS#11 v2.40) that have a meaning of their own here. */
export const CKR_SLOT_ID_INVALID = 0x003
export const CKR_ARGUMENTS_BAD = 0x007
export const CKR_DEVICE_REMOVED = 0x032
export const CKR_FUNCTION_NOT_SUPPORTED = 0x054
export const CKR_KEY_HANDLE_INVALID = 0x060
export const CKR_KEY_SIZE_RANGE = 0x062
export const CKR_KEY_TYPE_INCONSISTENT = 0x063
export const CKR_KEY_FUNCTION_NOT_PERMITTED = 0x068
export const CKR_MECHANISM_INVALID = 0x070
export const CKR_MECHANISM_PARAM_INVALID = 0x071
export const CKR_OBJECT_HANDLE_INVALID = 0x082
export const CKR_PIN_INCORRECT = 0x0a0
export const CKR_PIN_INVALID = 0x0a1
export const CKR_PIN_LEN_RANGE = 0x0a2
export const CKR_PIN_EXPIRED = 0x0a3
export const CKR_PIN_LOCKED = 0x0a4
export const CKR_SESSION_CLOSED = 0x0b0
export const CKR_SESSION_HANDLE_INVALID = 0x0b3
export const CKR_TOKEN_NOT_PRESENT = 0x0e0
export const CKR_TOKEN_NOT_RECOGNIZED = 0x0e1
export const CKR_USER_ALREADY_LOGGED_IN = 0x100
export const CKR_USER_NOT_LOGGED_IN = 0x101
export const CKR_USER_PIN_NOT_INITIALIZED = 0x102
export const CKR_CRYPTOKI_NOT_INITIALIZED = 0x190
export const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

/** The token itself is gone, at least as this process sees it. */
export const REMOVED: ReadonlySet<number> = new Set([
  CKR_SLOT_ID_INVALID,
  CKR_DEVICE_REMOVED,
  CKR_TOKEN_NOT_PRESENT,
  CKR_TOKEN_NOT_RECOGNIZED,
])

/** What we hold is stale: open sessions, log in and find the key again, once. */
export const STALE: ReadonlySet<number> = new Set([
  ...REMOVED,
  CKR_KEY_HANDLE_INVALID,
  CKR_OBJECT_HANDLE_INVALID,
  CKR_SESSION_CLOSED,
  CKR_SESSION_HANDLE_INVALID,
  CKR_USER_NOT_LOGGED_IN,
  CKR_CRYPTOKI_NOT_INITIALIZED,
])

/** The token does not know the mechanism or its parameters. SoftHSM says "bad arguments" to a hash that it does not have. */
export const UNSUPPORTED: ReadonlySet<number> = new Set([
  CKR_ARGUMENTS_BAD,
  CKR_FUNCTION_NOT_SUPPORTED,
  CKR_MECHANISM_INVALID,
  CKR_MECHANISM_PARAM_INVALID,
])

/** The key is none for this. */
export const WRONG_KEY: ReadonlySet<number> = new Set([
  CKR_KEY_SIZE_RANGE,
  CKR_KEY_TYPE_INCONSISTENT,
  CKR_KEY_FUNCTION_NOT_PERMITTED,
])

/** The PIN is none that this token can take. */
export const INVALID_PIN: ReadonlySet<number> = new Set([
  CKR_PIN_INVALID,
  CKR_PIN_LEN_RANGE,
  CKR_PIN_EXPIRED,
  CKR_USER_PIN_NOT_INITIALIZED,
])
