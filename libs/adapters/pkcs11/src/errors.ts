/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type Pkcs11ErrorCode =
  | 'PKCS11_PROCESS_UNAVAILABLE' // the process that module code runs in cannot be started
  | 'PKCS11_MODULE_UNAVAILABLE' // the module is missing or cannot be loaded
  | 'PKCS11_MODULE_NOT_READY' // it is loaded and does not come up: its settings, or what is behind it
  | 'PKCS11_TIMEOUT' // no answer within our limit; the process was killed
  | 'PKCS11_CANCELLED' // the caller's signal fired
  | 'PKCS11_CRASHED' // the process ended while it worked for us
  | 'PKCS11_PROTOCOL' // an answer that our process should not give
  | 'PKCS11_TOKEN_NOT_FOUND' // no token is the one that is configured
  | 'PKCS11_TOKEN_AMBIGUOUS' // more than one token is
  | 'PKCS11_TOKEN_REMOVED' // it was there, and went away while it worked
  | 'PKCS11_TOKEN_BROKEN' // it does not open what it has just sealed itself
  | 'PKCS11_PIN_REQUIRED' // the token wants a PIN and none was given
  | 'PKCS11_PIN_WRONG' // the PIN was refused, now or before
  | 'PKCS11_PIN_INVALID' // a PIN that the token cannot take: its length, an expiry, one that was never set
  | 'PKCS11_PIN_LOCKED' // too many wrong PINs, the token refuses all of them
  | 'PKCS11_PIN_HELD_BACK' // the PIN was not sent: a wrong one would lock the token
  | 'PKCS11_PIN_UNKNOWN' // the PIN was sent, and no answer tells what became of it; the token may have counted it
  | 'PKCS11_KEY_NOT_FOUND' // no key is the one that is configured; perhaps it was deleted
  | 'PKCS11_KEY_AMBIGUOUS' // more than one key is
  | 'PKCS11_KEY_WRONG_TYPE' // its type, its size, or what it may be used for
  | 'PKCS11_OTHER_KEY' // sealed for another key than that of this member; or another key is on the token
  | 'PKCS11_MECHANISM_UNSUPPORTED' // the token cannot do what the method needs
  | 'PKCS11_BLOB_MALFORMED' // not a sealed KEK of a version we know
  | 'PKCS11_METHOD_MISMATCH' // made in another way than its record says
  | 'PKCS11_CIPHERTEXT_REFUSED' // the token works, and does not open this
  | 'PKCS11_INVALID_ARGUMENT' // the caller asked for something that cannot be
  | 'PKCS11_CKR' // any other return value, in `ckr`

/**
 * Whether trying again makes sense: `transient` yes, later; `operator` only after somebody has done something, since a retry
 * may do harm or change nothing; `permanent` not as things are, but a retry harms nothing and notices a repair.
 */
export type Pkcs11ErrorKind = 'permanent' | 'operator' | 'transient'

const KINDS: Readonly<Record<Exclude<Pkcs11ErrorCode, 'PKCS11_CKR'>, Pkcs11ErrorKind>> = {
  PKCS11_PROCESS_UNAVAILABLE: 'permanent',
  PKCS11_MODULE_UNAVAILABLE: 'permanent',
  PKCS11_MODULE_NOT_READY: 'transient',
  PKCS11_TIMEOUT: 'transient',
  PKCS11_CANCELLED: 'transient',
  PKCS11_CRASHED: 'transient',
  PKCS11_PROTOCOL: 'transient',
  PKCS11_TOKEN_NOT_FOUND: 'transient',
  PKCS11_TOKEN_AMBIGUOUS: 'permanent',
  PKCS11_TOKEN_REMOVED: 'transient',
  PKCS11_TOKEN_BROKEN: 'transient',
  PKCS11_PIN_REQUIRED: 'operator',
  PKCS11_PIN_WRONG: 'operator',
  PKCS11_PIN_INVALID: 'operator',
  PKCS11_PIN_LOCKED: 'operator',
  // Nothing was sent, so looking again costs no try, and notices that somebody logged in.
  PKCS11_PIN_HELD_BACK: 'permanent',
  PKCS11_PIN_UNKNOWN: 'operator',
  PKCS11_KEY_NOT_FOUND: 'permanent',
  PKCS11_KEY_AMBIGUOUS: 'permanent',
  PKCS11_KEY_WRONG_TYPE: 'permanent',
  PKCS11_OTHER_KEY: 'permanent',
  PKCS11_MECHANISM_UNSUPPORTED: 'permanent',
  PKCS11_BLOB_MALFORMED: 'permanent',
  PKCS11_METHOD_MISMATCH: 'permanent',
  PKCS11_CIPHERTEXT_REFUSED: 'permanent',
  PKCS11_INVALID_ARGUMENT: 'permanent',
}

/** Details that only some errors have. */
export type Pkcs11ErrorOptions = ErrorOptions & {
  /** Return value as the module gave it. */
  readonly ckr?: number
}

/** What can go wrong between us and a token. Messages are written for the operator; switch on `code`. */
export class Pkcs11Error extends Error {
  override readonly name = 'Pkcs11Error'
  readonly code: Pkcs11ErrorCode
  readonly kind: Pkcs11ErrorKind
  readonly ckr: number | undefined

  constructor(code: Pkcs11ErrorCode, message: string, options: Pkcs11ErrorOptions = {}) {
    super(message, options)
    this.code = code
    // A return value that nobody has given a meaning to may be a passing one: looking again harms nothing.
    this.kind = code === 'PKCS11_CKR' ? 'transient' : KINDS[code]
    this.ckr = options.ckr
  }
}

/** The error with another meaning: what was a bare return value, or the same if it has a code of its own already. */
export function withMeaning(code: Pkcs11ErrorCode, message: string, cause: Pkcs11Error): Pkcs11Error {
  return new Pkcs11Error(code, message, cause.ckr === undefined ? { cause } : { cause, ckr: cause.ckr })
}

/** The return value if `error` is a bare `PKCS11_CKR`, else `undefined`. */
export function bareCkrOf(error: unknown): number | undefined {
  return error instanceof Pkcs11Error && error.code === 'PKCS11_CKR' ? error.ckr : undefined
}
