export { choosePolicy, differencesFrom, type PcrDifference, pcrsOfPolicies, type PolicyChoice } from './choose.ts'
export { decodePcrPolicies, encodePcrPolicies, MAX_PCR_POLICIES, MAX_PCR_POLICIES_BYTES } from './codec.ts'
export { PcrPoliciesError, type PcrPoliciesErrorCode } from './errors.ts'
export { addPolicies, retirePolicies, type Retirement } from './life.ts'
export {
  isForgeable,
  isReference,
  type PcrPolicy,
  policyDigestOf,
  policyRefOf,
  predictPolicy,
  type PredictedPolicy,
  type SignedPolicy,
} from './policy.ts'
export { isSignedBy, signPolicy } from './sign.ts'
