import {
  assertPcrIndices,
  emptyPolicyDigest,
  pcrDigest,
  type PcrValue,
  policyPcr,
  TpmWireError,
} from '@sealwright/tpm-wire'
import { PcrPoliciesError } from './errors.ts'

/** What a policy is about, whether somebody has approved it or not. Nothing in it is secret. */
interface PolicySubject {
  /** For people, such as `linux 6.12.30`: 1 to 64 printable ASCII characters. Nobody signs it. */
  readonly label: string
  /** Which version of a seal's approvals it belongs to: see {@link isReference}. Signed. */
  readonly reference: string
  /** The values that these PCRs of the SHA-256 bank shall have, 32 bytes each, ascending by PCR number. Signed, by their digest. */
  readonly values: readonly PcrValue[]
  /** Milliseconds since 1970, by the clock of the machine that predicted it. For people. Nobody signs it. */
  readonly createdAtMs: number
}

/** A state of a machine that somebody expects, and nobody has approved yet. No TPM opens anything for it. */
export interface PredictedPolicy extends PolicySubject {
  readonly state: 'predicted'
}

/** A state of a machine that carries a signature. Whose it is must still be checked: see `isSignedBy`. */
export interface SignedPolicy extends PolicySubject {
  readonly state: 'signed'
  /** ECDSA P-256 with SHA-256 over policy digest ‖ reference, as r ‖ s, 64 bytes. */
  readonly signature: Uint8Array
}

export type PcrPolicy = PredictedPolicy | SignedPolicy

/** Any program may reset these (TCG PC Client Platform TPM Profile, "PCR Attributes": Debug and Application Support). */
const RESETTABLE_PCRS: ReadonlySet<number> = new Set([16, 23])

const REFERENCE = /^[A-Za-z0-9._-]{1,32}$/
/** No space at either end: it would get lost on its way through a shell or an editor. */
const LABEL = /^[!-~]([ -~]{0,62}[!-~])?$/

/** Whether a text can be a reference: 1 to 32 of A-Z, a-z, 0-9, `.`, `_` and `-`, so that it fits the TPM's policyRef as it is. */
export function isReference(text: string): boolean {
  return REFERENCE.test(text)
}

/** The TPM's policyRef: the reference in ASCII, 1 to 32 bytes (Part 3, clause 23.16). */
export function policyRefOf(reference: string): Uint8Array {
  if (!isReference(reference)) {
    throw inputInvalid(`${JSON.stringify(reference)} is no reference: 1 to 32 of A-Z, a-z, 0-9, ".", "_" and "-"`)
  }
  return new TextEncoder().encode(reference)
}

/** The digest that TPM2_PolicyPCR gives while the PCRs have these values: what is approved, 32 bytes (Part 3, clause 23.7). */
export function policyDigestOf({ values }: Pick<PcrPolicy, 'values'>): Uint8Array {
  const indices = values.map(({ index }) => index)
  return policyPcr(emptyPolicyDigest(), indices, pcrDigest(values))
}

/** Whether every PCR of a policy is one that any program may reset, and then set as it likes: approved, it keeps nobody out. */
export function isForgeable({ values }: Pick<PcrPolicy, 'values'>): boolean {
  return values.every(({ index }) => RESETTABLE_PCRS.has(index))
}

/**
 * Checks what a policy is to be made of.
 *
 * @throws {@link PcrPoliciesError} `PCR_POLICIES_INPUT_INVALID`.
 */
export function predictPolicy(subject: PolicySubject): PredictedPolicy {
  const { label, reference, createdAtMs } = subject
  const values = subject.values.toSorted((one, other) => one.index - other.index)
  if (!LABEL.test(label)) throw inputInvalid('a label has 1 to 64 printable ASCII characters, and no space at its ends')
  policyRefOf(reference)
  if (!isTime(createdAtMs)) throw inputInvalid('the clock does not give whole milliseconds')
  try {
    assertPcrIndices(values.map(({ index }) => index))
    pcrDigest(values)
  } catch (cause) {
    if (!(cause instanceof TpmWireError)) throw cause
    throw inputInvalid(`these PCR values cannot be used: ${cause.message}`, cause)
  }
  return { state: 'predicted', label, reference, values, createdAtMs }
}

/** Last moment that an ISO 8601 text of four-digit year can name. */
const LAST_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

function isTime(ms: number): boolean {
  return Number.isSafeInteger(ms) && ms >= 0 && ms <= LAST_TIME_MS
}

function inputInvalid(reason: string, cause?: unknown): PcrPoliciesError {
  return new PcrPoliciesError('PCR_POLICIES_INPUT_INVALID', reason, { cause })
}
