import { encodePublic, policySignerPublic } from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'
import { type ResolvedPolicy, type SealPolicy } from './seal-policy.ts'
import { type SealedKek, decodeSealedKek } from './sealed-kek.ts'

/** Under which conditions a container opens, whatever the machine's state is now. Nothing in it is secret. */
export type RecordedConditions = {
  /** Sealed inside this TPM, or wrapped elsewhere for its storage key. */
  readonly kind: SealedKek['object']['method']
  readonly hasPin: boolean
  readonly state:
    | { readonly kind: 'none' }
    /** Bound to the values that these PCRs had at sealing. */
    | { readonly kind: 'pcr'; readonly pcrs: readonly number[] }
    /** Bound to what a signer approves. */
    | Extract<ResolvedPolicy['state'], { kind: 'authorized' }>
}

/** The conditions that a seal is to have from its configuration. */
export type ConfiguredConditions = { readonly policy: SealPolicy; readonly hasPin: boolean }

/**
 * How the conditions of a container compare with those that are configured.
 * - `same`: neither asks for more;
 * - `weaker`: something that is configured is not asked for, so the container opens where it should not;
 * - `stronger`: all that is configured is asked for, and more.
 */
export type ConditionsComparison = 'same' | 'weaker' | 'stronger'

/**
 * Reads the conditions of a container. Its parts agree, or it is refused; so these are the ones that its TPM enforces.
 *
 * @throws {@link TpmError} `TPM_BLOB_MALFORMED`.
 */
export function conditionsOf(container: Uint8Array): RecordedConditions {
  const { object, policy } = decodeSealedKek(container)
  const { state, hasPin } = policy
  return {
    kind: object.method,
    hasPin,
    state: state.kind === 'pcr' ? { kind: 'pcr', pcrs: state.pcrs } : state,
  }
}

/** @throws {@link TpmError} `TPM_BLOB_MALFORMED`. */
export function compareConditions(container: Uint8Array, configured: ConfiguredConditions): ConditionsComparison {
  const recorded = conditionsOf(container)
  if (missingIn(recorded, configured).length > 0) return 'weaker'
  return recorded.hasPin === configured.hasPin && isSameState(recorded.state, configured.policy) ? 'same' : 'stronger'
}

/**
 * Refuses a container that opens under weaker conditions than its seal is to have: else a condition that is configured
 * later would seem to hold, and would not.
 *
 * @throws {@link TpmError} `TPM_POLICY_WEAKER`, `TPM_BLOB_MALFORMED`.
 */
export function assertNotWeaker(container: Uint8Array, configured: ConfiguredConditions): void {
  const missing = missingIn(conditionsOf(container), configured)
  if (missing.length === 0) return
  throw new TpmError(
    'TPM_POLICY_WEAKER',
    `this key was sealed under weaker conditions than the seal is configured with: ${missing.join(' and ')}; run bootstrap-init ` +
      'with the seal key to seal it anew (or sealctl tpm reseal, which needs no key), or take the setting back; then restart the agent',
  )
}

function missingIn({ hasPin, state }: RecordedConditions, configured: ConfiguredConditions): readonly string[] {
  const missing = configured.hasPin && !hasPin ? ['it opens without a PIN'] : []
  const { policy } = configured
  switch (policy.kind) {
    case 'none':
      return missing
    case 'pcr': {
      // What a signer approves may leave out any PCR, so a signed policy does not stand in for a list.
      const bound = new Set(state.kind === 'pcr' ? state.pcrs : [])
      const free = policy.pcrs.filter(index => !bound.has(index))
      return free.length === 0 ? missing : [...missing, `it is not bound to PCR ${free.join(', ')}`]
    }
    case 'authorized':
      return isSameState(state, policy) ? missing : [...missing, 'it is not bound to this policy signer and reference']
  }
}

function isSameState(state: RecordedConditions['state'], policy: SealPolicy): boolean {
  switch (policy.kind) {
    case 'none':
      return state.kind === 'none'
    case 'pcr':
      return (
        state.kind === 'pcr' &&
        state.pcrs.length === policy.pcrs.length &&
        policy.pcrs.every(index => state.pcrs.includes(index))
      )
    case 'authorized':
      return (
        state.kind === 'authorized' &&
        Buffer.compare(encodePublic(state.signer), encodePublic(policySignerPublic(policy.signer))) === 0 &&
        Buffer.compare(state.policyRef, policy.policyRef) === 0
      )
  }
}
