import { TpmWireError, decodeRc, describeRc } from '@sealwright/tpm-wire'

/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type TpmErrorCode =
  | 'TPM_UNREACHABLE' // nothing answers at the address, or we may not open it
  | 'TPM_TIMEOUT' // no answer within our limit
  | 'TPM_CANCELLED' // the caller's signal fired
  | 'TPM_GONE' // the connection broke while the TPM worked for us
  | 'TPM_BUSY' // the TPM kept asking to try again until we gave up
  | 'TPM_NO_SPACE' // every object or session slot is taken
  | 'TPM_CLEARED' // this TPM, but its owner hierarchy was cleared since sealing
  | 'TPM_REPLACED' // another TPM than the one that sealed
  | 'TPM_NAME_MISMATCH' // the configuration names another storage key than the TPM or the record has
  | 'TPM_POLICY_WEAKER' // sealed under weaker conditions than the configuration asks for; the TPM was not asked
  | 'TPM_METHOD_REFUSED' // an import blob: everybody can make one who knows the public storage key
  | 'TPM_METHOD_MISMATCH' // made in another way than its record says
  | 'TPM_BLOB_MALFORMED' // not a sealed KEK of a version we know
  | 'TPM_BLOB_CORRUPT' // the TPM that sealed it says that the blob was changed
  | 'TPM_PCR_MISMATCH' // the machine did not boot as the seal demands
  | 'TPM_STATE_UNAPPROVED' // no PCR policy that the signer has approved is for the state of this machine
  | 'TPM_POLICY_UNSIGNED' // a PCR policy fits, yet it is not the signer who has signed it
  | 'TPM_POLICY_OTHER_REFERENCE' // a PCR policy fits, yet it was approved for another reference
  | 'TPM_PIN_REQUIRED' // sealed with a PIN and none was given
  | 'TPM_PIN_WRONG' // the PIN was refused; the TPM counted it
  | 'TPM_PIN_UNKNOWN' // the PIN was sent, and no answer tells what became of it; the TPM may have counted it
  | 'TPM_PIN_HELD_BACK' // the PIN was not sent: a wrong one would lead to lockout
  | 'TPM_LOCKOUT' // too many wrong PINs, the TPM refuses all of them for now
  | 'TPM_OWNER_AUTH' // the owner hierarchy wants another authorisation value
  | 'TPM_RESPONSE_FORGED' // the response HMAC is wrong; nothing of the response was used
  | 'TPM_PROTOCOL' // an answer that no TPM should give
  | 'TPM_INVALID_ARGUMENT' // the caller asked for something that cannot be
  | 'TPM_RC' // any other response code, in `rc`

/**
 * Whether trying again makes sense: `transient` yes, later; `operator` only after somebody has done something, since a retry
 * may do harm or change nothing; `permanent` not as things are, but a retry harms nothing and notices a repair.
 */
export type TpmErrorKind = 'permanent' | 'operator' | 'transient'

/**
 * A PCR of the SHA-256 bank that is not as it should be: as it was at sealing, or as the nearest approved policy says. Both values have
 * 32 bytes.
 */
export type PcrDrift = { readonly index: number; readonly expected: Uint8Array; readonly current: Uint8Array }

const KINDS: Readonly<Record<Exclude<TpmErrorCode, 'TPM_RC'>, TpmErrorKind>> = {
  TPM_UNREACHABLE: 'transient',
  TPM_TIMEOUT: 'transient',
  TPM_CANCELLED: 'transient',
  TPM_GONE: 'transient',
  TPM_BUSY: 'transient',
  TPM_NO_SPACE: 'transient',
  TPM_CLEARED: 'permanent',
  TPM_REPLACED: 'permanent',
  TPM_NAME_MISMATCH: 'permanent',
  TPM_POLICY_WEAKER: 'operator',
  TPM_METHOD_REFUSED: 'permanent',
  TPM_METHOD_MISMATCH: 'permanent',
  TPM_BLOB_MALFORMED: 'permanent',
  TPM_BLOB_CORRUPT: 'permanent',
  TPM_PCR_MISMATCH: 'permanent',
  TPM_STATE_UNAPPROVED: 'permanent',
  TPM_POLICY_UNSIGNED: 'permanent',
  TPM_POLICY_OTHER_REFERENCE: 'permanent',
  TPM_PIN_REQUIRED: 'operator',
  TPM_PIN_WRONG: 'operator',
  TPM_PIN_UNKNOWN: 'operator',
  // Nothing was sent, so looking again costs no try; and the counter goes down by itself.
  TPM_PIN_HELD_BACK: 'transient',
  TPM_LOCKOUT: 'operator',
  TPM_OWNER_AUTH: 'operator',
  TPM_RESPONSE_FORGED: 'transient',
  // One garbled answer must not close a node. Where a PIN was under way, it is `TPM_PIN_UNKNOWN`.
  TPM_PROTOCOL: 'transient',
  TPM_INVALID_ARGUMENT: 'permanent',
}

/** Details that only some errors have. */
export type TpmErrorOptions = ErrorOptions & {
  /** Response code as the TPM sent it. */
  readonly rc?: number
  /** The PCRs that differ, for `TPM_PCR_MISMATCH` and `TPM_STATE_UNAPPROVED`. */
  readonly drift?: readonly PcrDrift[]
}

/** What can go wrong between us and a TPM. Messages are written for the operator; switch on `code`. */
export class TpmError extends Error {
  override readonly name = 'TpmError'
  readonly code: TpmErrorCode
  readonly kind: TpmErrorKind
  readonly rc: number | undefined
  readonly drift: readonly PcrDrift[]

  constructor(code: TpmErrorCode, message: string, options: TpmErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.kind = code === 'TPM_RC' ? kindOfRc(options.rc ?? 0) : KINDS[code]
    this.rc = options.rc
    this.drift = options.drift ?? []
  }
}

/** An error for a response code that nobody has given a meaning to yet. */
export function rcError(commandName: string, rc: number): TpmError {
  return new TpmError('TPM_RC', `${commandName} failed with ${describeRc(rc)}`, { rc })
}

/** The error for a TPM in lockout, whether it said so itself or its counter did. */
export function lockoutError(options: TpmErrorOptions = {}): TpmError {
  const message =
    'the TPM is in lockout after too many wrong PINs: wait until it recovers, or reset it with the lockout authorisation (tpm2_dictionarylockout --clear-lockout)'
  return new TpmError('TPM_LOCKOUT', message, options)
}

/** What a codec refused to write is an argument that cannot be; any other error stays as it is. */
export function argumentError(error: unknown): unknown {
  if (!(error instanceof TpmWireError)) return error
  return new TpmError('TPM_INVALID_ARGUMENT', `no TPM can be asked for this: ${error.message}`, { cause: error })
}

/** Options that keep `error` as the cause, together with the response code it carries. */
export function causedBy(error: unknown): TpmErrorOptions {
  const rc = error instanceof TpmError ? error.rc : undefined
  return rc === undefined ? { cause: error } : { cause: error, rc }
}

/** The response code without its number bits if `error` is a bare `TPM_RC`, else `undefined`. */
export function bareRcOf(error: unknown): number | undefined {
  if (!(error instanceof TpmError) || error.code !== 'TPM_RC' || error.rc === undefined) return undefined
  return decodeRc(error.rc).code
}

const TPM_RC_INITIALIZE = 0x100
const TPM_RC_FAILURE = 0x101
/** RC_WARN and the codes above it: the TPM means "not now" (Part 2, clause 6.6.3). */
const RC_WARN = 0x900

/** A TPM that was not started yet, is in failure mode or only warns may do better later. */
function kindOfRc(rc: number): TpmErrorKind {
  const { code } = decodeRc(rc)
  return code === TPM_RC_INITIALIZE || code === TPM_RC_FAILURE || code >= RC_WARN ? 'transient' : 'permanent'
}
