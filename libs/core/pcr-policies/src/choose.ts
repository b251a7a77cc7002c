import { type KeyObject } from 'node:crypto'
import { type PcrValue } from '@sealwright/tpm-wire'
import { type PcrPolicy, type SignedPolicy } from './policy.ts'
import { isSignedBy } from './sign.ts'

/** A PCR that is not as a policy says. Both values have 32 bytes. */
export interface PcrDifference {
  readonly index: number
  readonly expected: Uint8Array
  /** `undefined` if it was not read. */
  readonly current: Uint8Array | undefined
}

/** How a machine stands to the policies of one signer and reference. */
export type PolicyChoice =
  /** The TPM opens by this one. */
  | { readonly kind: 'fits'; readonly policy: SignedPolicy }
  /** The nearest of those that the signer approved, and how the machine differs from it. */
  | { readonly kind: 'differs'; readonly nearest: SignedPolicy; readonly differences: readonly PcrDifference[] }
  /** One of this reference fits, yet another key has signed it, or something was changed. */
  | { readonly kind: 'forged'; readonly policy: SignedPolicy }
  /** One that the signer approved fits, yet for another reference. */
  | { readonly kind: 'other-reference'; readonly policy: SignedPolicy }
  /** There is nothing that the signer approved for this reference. */
  | { readonly kind: 'none' }

/** All PCRs that some policy looks at, ascending. */
export function pcrsOfPolicies(policies: readonly PcrPolicy[]): readonly number[] {
  const indices = new Set(policies.flatMap(({ values }) => values.map(({ index }) => index)))
  return [...indices].sort((one, other) => one - other)
}

/** The PCRs of a policy that are not as it says, ascending. */
export function differencesFrom(policy: PcrPolicy, current: readonly PcrValue[]): readonly PcrDifference[] {
  const now = new Map(current.map(({ index, value }) => [index, value]))
  return policy.values.flatMap(({ index, value: expected }) => {
    const found = now.get(index)
    return found !== undefined && Buffer.compare(found, expected) === 0 ? [] : [{ index, expected, current: found }]
  })
}

/**
 * Chooses the policy by which a TPM will open, before it is asked. Signatures are checked here as well: one forged policy among good
 * ones keeps nobody out.
 *
 * @param input.current - of at least all {@link pcrsOfPolicies}.
 */
export function choosePolicy(input: {
  readonly policies: readonly PcrPolicy[]
  readonly publicKey: KeyObject
  readonly policyRef: Uint8Array
  readonly current: readonly PcrValue[]
}): PolicyChoice {
  const { policies, publicKey, policyRef, current } = input
  const signed = policies.filter(policy => policy.state === 'signed')
  const ofReference = signed.filter(({ reference }) => Buffer.compare(Buffer.from(reference), policyRef) === 0)
  const fits = (policy: SignedPolicy): boolean => differencesFrom(policy, current).length === 0
  const approved = ofReference.filter(policy => isSignedBy(policy, publicKey))
  const policy = approved.find(fits)
  if (policy !== undefined) return { kind: 'fits', policy }
  const forged = ofReference.find(fits)
  if (forged !== undefined) return { kind: 'forged', policy: forged }
  const elsewhere = signed.find(each => !ofReference.includes(each) && fits(each) && isSignedBy(each, publicKey))
  if (elsewhere !== undefined) return { kind: 'other-reference', policy: elsewhere }
  return nearestOf(approved, current)
}

/** Newest first among those that are as near: the operator most likely means the last one. */
function nearestOf(approved: readonly SignedPolicy[], current: readonly PcrValue[]): PolicyChoice {
  const [nearest] = approved
    .map(policy => ({ policy, differences: differencesFrom(policy, current) }))
    .toReversed()
    .toSorted((one, other) => one.differences.length - other.differences.length)
  if (nearest === undefined) return { kind: 'none' }
  return { kind: 'differs', nearest: nearest.policy, differences: nearest.differences }
}
