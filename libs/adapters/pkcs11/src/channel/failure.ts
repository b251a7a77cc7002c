import { FieldError, type FieldReader, type Part, readFields, text, u32, u8 } from '../fields.ts'

/** Kinds of an answer frame. */
export const ANSWER_DONE = 0
export const ANSWER_FAILED = 1

/** Why a request was not done. */
export type Failure =
  /** A PKCS#11 function gave another return value than CKR_OK. */
  | { readonly kind: 'ckr'; readonly ckr: number; readonly name: string; readonly functionName: string }
  /** The module cannot be loaded. */
  | { readonly kind: 'not-loaded'; readonly reason: string }
  /** The module is loaded and cannot be initialised. */
  | { readonly kind: 'not-ready'; readonly reason: string }
  /** The request itself, or something in our own code. */
  | { readonly kind: 'other'; readonly reason: string }

const CKR = 1
const OTHERS: ReadonlyMap<number, Exclude<Failure['kind'], 'ckr'>> = new Map([
  [2, 'not-loaded'],
  [3, 'not-ready'],
  [4, 'other'],
])

/** A reason comes from a vendor's module and goes into a log. */
const MAX_REASON_CHARS = 300

export function encodeFailure(failure: Failure): Part {
  if (failure.kind === 'ckr') {
    return [u8(CKR), u32(failure.ckr), text(failure.name), text(failure.functionName)]
  }
  for (const [number, kind] of OTHERS) {
    if (kind === failure.kind) return [u8(number), text(printable(failure.reason))]
  }
  throw new FieldError('the failure has no number')
}

/** Throws {@link FieldError} for what is none. */
export function decodeFailure(body: Uint8Array): Failure {
  const reader = readFields(body)
  const failure = readFailure(reader)
  reader.end()
  return failure
}

function readFailure(reader: FieldReader): Failure {
  const number = reader.u8()
  if (number === CKR) {
    return { kind: 'ckr', ckr: reader.u32(), name: reader.text(), functionName: reader.text() }
  }
  const kind = OTHERS.get(number)
  if (kind === undefined) throw new FieldError(`failure ${number} is not known`)
  return { kind, reason: reader.text() }
}

function printable(reason: string): string {
  return reason.replace(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_REASON_CHARS)
}
