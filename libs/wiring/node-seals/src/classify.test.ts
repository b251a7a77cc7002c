import { EnvelopeError } from '@sealwright/envelope'
import { KeyringError } from '@sealwright/keyring'
import { PcrPoliciesError } from '@sealwright/pcr-policies'
import { ProgramError } from '@sealwright/program'
import { StoreError } from '@sealwright/seal-store'
import { Pkcs11Error } from '@sealwright/pkcs11'
import { TpmError } from '@sealwright/tpm'
import { classifySealFailure, mayHaveCostTry } from './classify.ts'
import { SignedPolicyError } from './signed-policy/error.ts'

describe('what stopped a seal', () => {
  it.each([
    [new TpmError('TPM_UNREACHABLE', 'no'), 'transient'],
    [new TpmError('TPM_RC', 'no', { rc: 0x922 }), 'transient'],
    [new TpmError('TPM_CLEARED', 'no'), 'permanent'],
    [new TpmError('TPM_PIN_WRONG', 'no'), 'operator'],
    [new StoreError('STORE_NOT_FOUND', 'no'), 'permanent'],
    [new KeyringError('KEYRING_NO_RECORD', 'no'), 'permanent'],
    [new EnvelopeError('ENVELOPE_AUTH_FAILED', 'no'), 'permanent'],
    [new ProgramError('SECRET_FILE_UNREADABLE', 'no'), 'permanent'],
    [new PcrPoliciesError('PCR_POLICIES_MALFORMED', 'no'), 'permanent'],
    [new SignedPolicyError('POLICIES_FILE_UNREADABLE', 'no'), 'permanent'],
  ])('%s is %s', (error, kind) => {
    expect(classifySealFailure(error)).toEqual({ code: error.code, message: 'no', kind })
  })

  it.each([new Error('a bug'), new TypeError('this secret was wiped'), 'a text', undefined])(
    '%s is a bug, not an outage',
    error => {
      let thrown: unknown = 'nothing'
      try {
        classifySealFailure(error)
      } catch (cause) {
        thrown = cause
      }
      expect(thrown).toBe(error)
    },
  )
})

describe('a try of a PIN', () => {
  it.each([
    [new TpmError('TPM_PIN_WRONG', 'no'), true],
    [new TpmError('TPM_PIN_UNKNOWN', 'no'), true],
    [new TpmError('TPM_LOCKOUT', 'no'), true],
    [new Pkcs11Error('PKCS11_PIN_WRONG', 'no'), true],
    [new TpmError('TPM_PIN_REQUIRED', 'no'), false],
    [new Pkcs11Error('PKCS11_PIN_REQUIRED', 'no'), false],
    [new TpmError('TPM_POLICY_WEAKER', 'no'), false],
    [new TpmError('TPM_PIN_HELD_BACK', 'no'), false],
    [new TpmError('TPM_PCR_MISMATCH', 'no'), false],
    [new Error('a bug'), false],
    [undefined, false],
  ])('may have been counted at %s: %s', (error, isCounted) => {
    expect(mayHaveCostTry(error)).toBe(isCounted)
  })
})
