import { type KeyObject, sign, verify } from 'node:crypto'
import { concat } from '@sealwright/tpm-wire'
import { PcrPoliciesError } from './errors.ts'
import { type PcrPolicy, policyDigestOf, policyRefOf, type SignedPolicy } from './policy.ts'

/**
 * Approves a state of a machine: from now on, and for as long as a key is sealed to this signer and reference, its TPM opens it there.
 *
 * @param signingKey - private P-256 key. It signs whatever state it is shown: look at the values first.
 * @throws {@link PcrPoliciesError} `PCR_POLICIES_KEY_REFUSED`.
 */
export function signPolicy(policy: PcrPolicy, signingKey: KeyObject): SignedPolicy {
  assertP256(signingKey)
  const { label, reference, values, createdAtMs } = policy
  const signature = sign('sha256', messageOf(policy), { key: signingKey, dsaEncoding: 'ieee-p1363' })
  return { state: 'signed', label, reference, values, createdAtMs, signature: Uint8Array.from(signature) }
}

/** Whether this key has approved the policy. @throws {@link PcrPoliciesError} `PCR_POLICIES_KEY_REFUSED`. */
export function isSignedBy(policy: SignedPolicy, publicKey: KeyObject): boolean {
  assertP256(publicKey)
  return verify('sha256', messageOf(policy), { key: publicKey, dsaEncoding: 'ieee-p1363' }, policy.signature)
}

/** aHash before it is hashed (Part 3, clause 23.16): the digest has one length, so nothing can move over to the reference. */
function messageOf(policy: PcrPolicy): Uint8Array {
  return concat(policyDigestOf(policy), policyRefOf(policy.reference))
}

function assertP256(key: KeyObject): void {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return
  throw new PcrPoliciesError(
    'PCR_POLICIES_KEY_REFUSED',
    'PCR policies are signed with a P-256 key: make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
  )
}
