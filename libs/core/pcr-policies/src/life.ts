import { policyKey } from './codec.ts'
import { type PcrPolicy, type SignedPolicy } from './policy.ts'

/**
 * The policies with more of them at the end. One that is there already, predicted or signed, gives its place to the signed one: places
 * tell what was meant for which boot.
 *
 * @param added - whose signatures the caller has checked.
 */
export function addPolicies(policies: readonly PcrPolicy[], added: readonly SignedPolicy[]): readonly PcrPolicy[] {
  const placed = new Map(policies.map(policy => [policyKey(policy), policy]))
  for (const policy of added) placed.set(policyKey(policy), policy)
  return [...placed.values()]
}

/** What becomes of the policies of a file. */
export interface Retirement {
  readonly kept: readonly PcrPolicy[]
  readonly dropped: readonly PcrPolicy[]
}

/**
 * Drops the policies that were added before the one that this machine has booted by. Those added after it are for boots to come, and stay.
 *
 * @param input.booted - by which a record was opened just now; one of `policies`.
 * @param input.dropPending - also drops those added later: for an update that was called off.
 */
export function retirePolicies(input: {
  readonly policies: readonly PcrPolicy[]
  readonly booted: SignedPolicy
  readonly dropPending: boolean
}): Retirement {
  const { policies, booted, dropPending } = input
  const key = policyKey(booted)
  const at = policies.findIndex(policy => policyKey(policy) === key)
  const kept = policies.filter((_, index) => index === at || (index > at && !dropPending))
  return { kept, dropped: policies.filter(policy => !kept.includes(policy)) }
}
