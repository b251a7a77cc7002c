import { addPolicies, isSignedBy, type PcrPolicy, type Retirement, retirePolicies } from '@sealwright/pcr-policies'
import { signerOf, type SignedTpmSealConfig } from './configured.ts'
import { SignedPolicyError } from './error.ts'
import { type ExamineInput, examinePolicies } from './examine.ts'
import { readPoliciesFileIfAny, replacePoliciesFile } from './policies-file.ts'

/**
 * Adds signed policies to the file of a node. Those of another reference than the configured one are added too: they are for the
 * time after a change of reference.
 *
 * @returns How many the file has now.
 * @throws {@link SignedPolicyError} `POLICIES_NOT_APPROVED` if one is not signed by the seal's signer, and then none is added; those of
 *   the file; {PcrPoliciesError}.
 */
export async function addToPoliciesFile(seal: SignedTpmSealConfig, added: readonly PcrPolicy[]): Promise<number> {
  const publicKey = signerOf(seal)
  const signed = added.filter(policy => policy.state === 'signed' && isSignedBy(policy, publicKey))
  if (signed.length < added.length || added.length === 0) {
    const [refused] = added.filter(policy => !signed.includes(policy))
    const which = refused === undefined ? 'there is no policy in it' : `${refused.label} is not`
    throw new SignedPolicyError(
      'POLICIES_NOT_APPROVED',
      `policies are added only when the signer of the seal ${seal.name} has signed them, and ${which}: sign with sealctl tpm sign and ` +
        'the private key that publicKey in the configuration belongs to; nothing was added',
    )
  }
  const { policiesFile } = seal.signedPolicy
  const file = await readPoliciesFileIfAny(policiesFile)
  const policies = addPolicies(
    file.policies,
    signed.filter(policy => policy.state === 'signed'),
  )
  await replacePoliciesFile(file, policies)
  return policies.length
}

/**
 * Drops the policies from before this boot, after the TPM has opened this node's records by the present one.
 *
 * This tidies the file of this node, no more: the TPM still opens by a policy of the same reference if somebody brings it back.
 *
 * @param input.dropPending - also those that were added after the present one.
 * @throws {@link SignedPolicyError} `POLICIES_NOT_PROVEN`, and then nothing was dropped; those of the file; {PcrPoliciesError}; {TpmError}.
 */
export async function retireFromPoliciesFile(
  input: ExamineInput & { readonly dropPending: boolean },
  signal: AbortSignal,
): Promise<Retirement> {
  const { booted, failure, file } = await examinePolicies(input, signal)
  if (failure !== undefined || booted === undefined) {
    const why = failure === undefined ? 'no policy of the file fits' : `${failure.code}: ${failure.message}`
    throw new SignedPolicyError(
      'POLICIES_NOT_PROVEN',
      `the seal ${input.sealName} does not open by an approved policy in this boot, so none is dropped (${why})`,
    )
  }
  const { dropPending } = input
  const retirement = retirePolicies({ policies: file.policies, booted, dropPending })
  if (retirement.dropped.length > 0) {
    await replacePoliciesFile(file, retirement.kept)
  }
  return retirement
}
