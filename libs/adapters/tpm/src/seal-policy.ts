import { type KeyObject, createPublicKey } from 'node:crypto'

import {
  type EccPoint,
  type EccPublic,
  type PcrValue,
  TpmWireError,
  assertPcrIndices,
  emptyPolicyDigest,
  encodePublic,
  objectName,
  pcrDigest,
  policyAuthValue,
  policyAuthorize,
  policyPcr,
  policySignerPublic,
} from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'

/** Under which state of the machine a TPM opens what it sealed. A PIN is asked for separately. */
export type SealPolicy =
  /** Whenever this TPM is asked. */
  | { readonly kind: 'none' }
  /** While these PCRs of the SHA-256 bank have the values they had at sealing. Updates may break it: prefer `authorized`. */
  | { readonly kind: 'pcr'; readonly pcrs: readonly number[] }
  /**
   * While the PCRs are as some policy says that this P-256 key has signed. The values that `pcrs` have at sealing are recorded, for people;
   * none need be.
   */
  | {
      readonly kind: 'authorized'
      readonly signer: EccPoint
      /** Opaque to the TPM: put a version in, since an older signed policy of the same reference opens for ever. At most 32 bytes. */
      readonly policyRef: Uint8Array
      readonly pcrs: readonly number[]
    }

/** A policy with everything in it that its digest depends on. */
export type ResolvedPolicy = {
  readonly state:
    | { readonly kind: 'none' }
    | { readonly kind: 'pcr'; readonly pcrs: readonly number[]; readonly digest: Uint8Array }
    | { readonly kind: 'authorized'; readonly signer: EccPublic; readonly policyRef: Uint8Array }
  readonly hasPin: boolean
}

/** Longest policyRef: a TPM2B_NONCE of SHA-256 (Part 3, clause 23.16). */
export const MAX_POLICY_REF_BYTES = 32

/** The PCRs a policy looks at, ascending; none for `none`. */
export function pcrsOf(policy: SealPolicy): readonly number[] {
  return policy.kind === 'none' ? [] : policy.pcrs
}

/**
 * Checks what a caller asks for before a TPM is bothered with it.
 *
 * @throws {@link TpmError} `TPM_INVALID_ARGUMENT`.
 */
export function assertSealPolicy(policy: SealPolicy): void {
  try {
    if (policy.kind === 'pcr' || pcrsOf(policy).length > 0) assertPcrIndices(pcrsOf(policy))
  } catch (cause) {
    if (!(cause instanceof TpmWireError)) throw cause
    throw new TpmError('TPM_INVALID_ARGUMENT', `these PCRs cannot be used: ${cause.message}`, { cause })
  }
  if (policy.kind === 'authorized' && policy.policyRef.byteLength > MAX_POLICY_REF_BYTES) {
    throw new TpmError('TPM_INVALID_ARGUMENT', `a policyRef has at most ${MAX_POLICY_REF_BYTES} bytes`)
  }
}

/**
 * Puts the values of the PCRs into a policy.
 *
 * @param values - of exactly the PCRs that {@link pcrsOf} names, in the same order.
 */
export function resolvePolicy(policy: SealPolicy, hasPin: boolean, values: readonly PcrValue[]): ResolvedPolicy {
  switch (policy.kind) {
    case 'none':
      return { state: { kind: 'none' }, hasPin }
    case 'pcr':
      return { state: { kind: 'pcr', pcrs: policy.pcrs, digest: pcrDigest(values) }, hasPin }
    case 'authorized': {
      const { signer, policyRef } = policy
      return { state: { kind: 'authorized', signer: policySignerPublic(signer), policyRef }, hasPin }
    }
  }
}

/** The authPolicy of the sealed object: 32 bytes, or empty without any condition (Part 1, clause 27.2.5). */
export function authPolicyOf(policy: ResolvedPolicy): Uint8Array {
  const { state, hasPin } = policy
  if (state.kind === 'none' && !hasPin) return new Uint8Array(0)
  const withState = extendByState(state)
  return hasPin ? policyAuthValue(withState) : withState
}

/** The point of a P-256 public key, for the `signer` of a policy. @throws {@link TpmError} `TPM_INVALID_ARGUMENT`. */
export function policySigner(publicKey: KeyObject): EccPoint {
  const isP256 = publicKey.asymmetricKeyType === 'ec' && publicKey.asymmetricKeyDetails?.namedCurve === 'prime256v1'
  const { x, y } = isP256 ? publicKey.export({ format: 'jwk' }) : {}
  if (x === undefined || y === undefined)
    throw new TpmError('TPM_INVALID_ARGUMENT', 'a policy signer must be a P-256 key')
  return { x: decodeBase64Url(x), y: decodeBase64Url(y) }
}

/** The key that {@link policySigner} was asked for. @throws {@link TpmError} `TPM_INVALID_ARGUMENT` if it is no point of the curve. */
export function signerKey({ x, y }: EccPoint): KeyObject {
  const text = (coordinate: Uint8Array) => Buffer.from(coordinate).toString('base64url')
  try {
    return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: text(x), y: text(y) } })
  } catch (cause) {
    throw new TpmError('TPM_INVALID_ARGUMENT', 'the policy signer is no P-256 key', { cause })
  }
}

function decodeBase64Url(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64url'))
}

function extendByState(state: ResolvedPolicy['state']): Uint8Array {
  switch (state.kind) {
    case 'none':
      return emptyPolicyDigest()
    case 'pcr':
      return policyPcr(emptyPolicyDigest(), state.pcrs, state.digest)
    case 'authorized':
      return policyAuthorize(objectName(encodePublic(state.signer)), state.policyRef)
  }
}
