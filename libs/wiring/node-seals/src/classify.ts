import { EnvelopeError } from '@sealwright/envelope'
import { KeyringError } from '@sealwright/keyring'
import { ProgramError } from '@sealwright/program'
import { StoreError } from '@sealwright/seal-store'
import { type TransitError } from '@sealwright/openbao'
import { PcrPoliciesError } from '@sealwright/pcr-policies'
import { Pkcs11Error } from '@sealwright/pkcs11'
import { ShamirError } from '@sealwright/shamir'
import { hasErrorCode } from '@sealwright/system-error'
import { TpmError } from '@sealwright/tpm'
import { type SealFailure } from '@sealwright/unseal'
import { SignedPolicyError } from './signed-policy/error.ts'

/**
 * Turns what stopped a seal from opening into a failure that says whether trying again makes sense.
 *
 * @throws `error` itself if it is none of the known kinds: that is a bug, and must not look like an outage.
 */
export function classifySealFailure(error: unknown): SealFailure {
  if (error instanceof TpmError || error instanceof Pkcs11Error || isTransitError(error)) {
    return { code: error.code, message: error.message, kind: error.kind }
  }
  // A store or a keyring that cannot be used may be put right beside us: looking again harms nothing.
  if (
    error instanceof StoreError ||
    error instanceof KeyringError ||
    error instanceof EnvelopeError ||
    error instanceof ShamirError ||
    error instanceof PcrPoliciesError ||
    error instanceof SignedPolicyError
  ) {
    return { code: error.code, message: error.message, kind: 'permanent' }
  }
  if (error instanceof ProgramError) return { code: error.code, message: error.message, kind: 'permanent' }
  throw error
}

/** What an operator has to mend, and yet no PIN was sent. */
const NO_PIN_SENT = ['TPM_POLICY_WEAKER', 'TPM_PIN_REQUIRED', 'PKCS11_PIN_REQUIRED'] as const

/** Whether a device may have counted a wrong PIN when it failed with this: then no other record is tried with the same PIN. */
export function mayHaveCostTry(error: unknown): boolean {
  const isForOperator = error instanceof Error && 'kind' in error && error.kind === 'operator'
  return isForOperator && !hasErrorCode(error, ...NO_PIN_SENT)
}

/** Told by its shape: to load its class would load an HTTP client into programs that have no such seal. */
function isTransitError(error: unknown): error is TransitError {
  return error instanceof Error && error.name === 'TransitError' && 'code' in error && 'kind' in error
}
