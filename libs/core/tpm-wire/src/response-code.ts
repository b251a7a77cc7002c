/**
 * Response codes with the number bits taken out (Part 2, clause 6.6.3).
 * Format-one codes are given as RC_FMT1 + N.
 */
export const TPM_RC_SUCCESS = 0x000
export const TPM_RC_PCR_CHANGED = 0x128
export const TPM_RC_ATTRIBUTES = 0x082
export const TPM_RC_VALUE = 0x084
export const TPM_RC_AUTH_FAIL = 0x08e
export const TPM_RC_SIZE = 0x095
export const TPM_RC_POLICY_FAIL = 0x09d
export const TPM_RC_INTEGRITY = 0x09f
export const TPM_RC_BAD_AUTH = 0x0a2
export const TPM_RC_CONTEXT_GAP = 0x901
export const TPM_RC_OBJECT_MEMORY = 0x902
export const TPM_RC_SESSION_MEMORY = 0x903
export const TPM_RC_MEMORY = 0x904
export const TPM_RC_SESSION_HANDLES = 0x905
export const TPM_RC_OBJECT_HANDLES = 0x906
export const TPM_RC_YIELDED = 0x908
export const TPM_RC_TESTING = 0x90a
export const TPM_RC_NV_RATE = 0x920
export const TPM_RC_LOCKOUT = 0x921
export const TPM_RC_RETRY = 0x922
export const TPM_RC_NV_UNAVAILABLE = 0x923

const NAMES: ReadonlyMap<number, string> = new Map([
  [TPM_RC_SUCCESS, 'TPM_RC_SUCCESS'],
  [0x01e, 'TPM_RC_BAD_TAG'],
  [0x081, 'TPM_RC_ASYMMETRIC'],
  [TPM_RC_ATTRIBUTES, 'TPM_RC_ATTRIBUTES'],
  [0x083, 'TPM_RC_HASH'],
  [TPM_RC_VALUE, 'TPM_RC_VALUE'],
  [0x085, 'TPM_RC_HIERARCHY'],
  [0x087, 'TPM_RC_KEY_SIZE'],
  [0x088, 'TPM_RC_MGF'],
  [0x089, 'TPM_RC_MODE'],
  [0x08a, 'TPM_RC_TYPE'],
  [0x08b, 'TPM_RC_HANDLE'],
  [0x08c, 'TPM_RC_KDF'],
  [0x08d, 'TPM_RC_RANGE'],
  [TPM_RC_AUTH_FAIL, 'TPM_RC_AUTH_FAIL'],
  [0x08f, 'TPM_RC_NONCE'],
  [0x090, 'TPM_RC_PP'],
  [0x092, 'TPM_RC_SCHEME'],
  [TPM_RC_SIZE, 'TPM_RC_SIZE'],
  [0x096, 'TPM_RC_SYMMETRIC'],
  [0x097, 'TPM_RC_TAG'],
  [0x098, 'TPM_RC_SELECTOR'],
  [0x09a, 'TPM_RC_INSUFFICIENT'],
  [0x09b, 'TPM_RC_SIGNATURE'],
  [0x09c, 'TPM_RC_KEY'],
  [TPM_RC_POLICY_FAIL, 'TPM_RC_POLICY_FAIL'],
  [TPM_RC_INTEGRITY, 'TPM_RC_INTEGRITY'],
  [0x0a0, 'TPM_RC_TICKET'],
  [0x0a1, 'TPM_RC_RESERVED_BITS'],
  [TPM_RC_BAD_AUTH, 'TPM_RC_BAD_AUTH'],
  [0x0a3, 'TPM_RC_EXPIRED'],
  [0x0a4, 'TPM_RC_POLICY_CC'],
  [0x0a5, 'TPM_RC_BINDING'],
  [0x0a6, 'TPM_RC_CURVE'],
  [0x0a7, 'TPM_RC_ECC_POINT'],
  [0x100, 'TPM_RC_INITIALIZE'],
  [0x101, 'TPM_RC_FAILURE'],
  [0x120, 'TPM_RC_DISABLED'],
  [0x125, 'TPM_RC_AUTH_MISSING'],
  [0x126, 'TPM_RC_POLICY'],
  [TPM_RC_PCR_CHANGED, 'TPM_RC_PCR_CHANGED'],
  [0x12f, 'TPM_RC_AUTH_UNAVAILABLE'],
  [0x130, 'TPM_RC_REBOOT'],
  [0x131, 'TPM_RC_UNBALANCED'],
  [0x142, 'TPM_RC_COMMAND_SIZE'],
  [0x143, 'TPM_RC_COMMAND_CODE'],
  [0x144, 'TPM_RC_AUTHSIZE'],
  [0x145, 'TPM_RC_AUTH_CONTEXT'],
  [TPM_RC_CONTEXT_GAP, 'TPM_RC_CONTEXT_GAP'],
  [TPM_RC_OBJECT_MEMORY, 'TPM_RC_OBJECT_MEMORY'],
  [TPM_RC_SESSION_MEMORY, 'TPM_RC_SESSION_MEMORY'],
  [TPM_RC_MEMORY, 'TPM_RC_MEMORY'],
  [TPM_RC_SESSION_HANDLES, 'TPM_RC_SESSION_HANDLES'],
  [TPM_RC_OBJECT_HANDLES, 'TPM_RC_OBJECT_HANDLES'],
  [0x907, 'TPM_RC_LOCALITY'],
  [TPM_RC_YIELDED, 'TPM_RC_YIELDED'],
  [0x909, 'TPM_RC_CANCELED'],
  [TPM_RC_TESTING, 'TPM_RC_TESTING'],
  [0x910, 'TPM_RC_REFERENCE_H0'],
  [0x911, 'TPM_RC_REFERENCE_H1'],
  [0x918, 'TPM_RC_REFERENCE_S0'],
  [0x919, 'TPM_RC_REFERENCE_S1'],
  [TPM_RC_NV_RATE, 'TPM_RC_NV_RATE'],
  [TPM_RC_LOCKOUT, 'TPM_RC_LOCKOUT'],
  [TPM_RC_RETRY, 'TPM_RC_RETRY'],
  [TPM_RC_NV_UNAVAILABLE, 'TPM_RC_NV_UNAVAILABLE'],
])

/** What a format-one code complains about: the number counts from 1. */
export type TpmRcSubject = { readonly kind: 'parameter' | 'handle' | 'session'; readonly index: number }

/** A response code taken apart. */
export type TpmRc = {
  /** As the TPM sent it. */
  readonly raw: number
  /** Without parameter, handle and session number: compare this one. */
  readonly code: number
  /** TCG name, or `TPM_RC_0x…` for a code this library does not know. */
  readonly name: string
  /** Present in format-one codes that name what is wrong. */
  readonly subject?: TpmRcSubject
}

/** RC_FMT1: bit 7 tells format one from format zero (Part 2, clause 6.6.2, table 14). */
const FORMAT_ONE = 0x080
/** Bit 6 (P): a parameter, else a handle or a session. */
const IS_PARAMETER = 0x040
/** Bit 11, the top of N in format one without P: a session, else a handle. */
const IS_SESSION = 0x800

/** Takes a response code apart (Part 2, clause 6.6.2). Any 32-bit number is accepted. */
export function decodeRc(raw: number): TpmRc {
  if ((raw & FORMAT_ONE) === 0 || raw > 0xfff) return { raw, code: raw, name: nameOf(raw) }
  const code = raw & 0x0bf
  const number = (raw >>> 8) & 0x00f
  if ((raw & IS_PARAMETER) !== 0) return withSubject(raw, code, 'parameter', number)
  if ((raw & IS_SESSION) !== 0) return withSubject(raw, code, 'session', number & 0x7)
  return withSubject(raw, code, 'handle', number)
}

/** One line for people: `TPM_RC_POLICY_FAIL (0x99d, session 1)`. */
export function describeRc(raw: number): string {
  const { name, subject } = decodeRc(raw)
  const hex = `0x${raw.toString(16).padStart(3, '0')}`
  return subject ? `${name} (${hex}, ${subject.kind} ${subject.index})` : `${name} (${hex})`
}

function withSubject(raw: number, code: number, kind: TpmRcSubject['kind'], index: number): TpmRc {
  const base = { raw, code, name: nameOf(code) }
  return index === 0 ? base : { ...base, subject: { kind, index } }
}

function nameOf(code: number): string {
  return NAMES.get(code) ?? `TPM_RC_0x${code.toString(16).padStart(3, '0')}`
}
