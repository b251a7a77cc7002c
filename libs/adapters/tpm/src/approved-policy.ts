import {
  type PcrPolicy,
  type SignedPolicy,
  choosePolicy,
  pcrsOfPolicies,
  policyDigestOf,
} from '@sealwright/pcr-policies'
import { approvedPolicyHash } from '@sealwright/tpm-wire'

import { type Session } from './authorization.ts'
import { flushContext } from './commands/flush.ts'
import { pcrRead } from './commands/pcr-read.ts'
import { loadPublicKey, runPolicyAuthorize, runPolicyPcr, verifySignature } from './commands/policy.ts'
import { type TpmConnection } from './connection.ts'
import { type PcrDrift, TpmError, bareRcOf, causedBy } from './errors.ts'
import { type ResolvedPolicy, signerKey } from './seal-policy.ts'

/** Whose approvals a key is sealed to, and of which reference. */
type Authorized = Extract<ResolvedPolicy['state'], { kind: 'authorized' }>

/** What helps in every case: after the code, what this machine may do. */
const OTHERWISE = 'boot as before, or open by another seal'

/**
 * Picks the approved policy for the PCRs as they are, by values and signature: no attempt fails on the way, and a forged policy hides no
 * good one.
 *
 * @throws {@link TpmError} `TPM_STATE_UNAPPROVED` with the drift from the nearest one, `TPM_POLICY_UNSIGNED`,
 *   `TPM_POLICY_OTHER_REFERENCE`.
 */
export async function chooseApprovedPolicy(
  tpm: TpmConnection,
  { signer, policyRef }: Authorized,
  policies: readonly PcrPolicy[],
): Promise<SignedPolicy> {
  const pcrs = pcrsOfPolicies(policies)
  const current = pcrs.length === 0 ? [] : await pcrRead(tpm, pcrs)
  const choice = choosePolicy({ policies, publicKey: signerKey(signer.unique), policyRef, current })
  const reference = JSON.stringify(Buffer.from(policyRef).toString('latin1'))
  switch (choice.kind) {
    case 'fits':
      return choice.policy
    case 'differs': {
      const drift = choice.differences.flatMap(({ index, expected, current: now }): PcrDrift[] =>
        now === undefined ? [] : [{ index, expected, current: now }],
      )
      const which = drift.map(({ index }) => index).join(', ')
      throw new TpmError(
        'TPM_STATE_UNAPPROVED',
        `no approved PCR policy is for the state of this machine: from the nearest one, ${choice.nearest.label}, it differs in PCR ${which}; ` +
          `${OTHERWISE}; if the change was meant, approve it (sealctl tpm predict, sign, add)`,
        { drift },
      )
    }
    case 'forged':
      throw new TpmError(
        'TPM_POLICY_UNSIGNED',
        `the PCR policy for the state of this machine, ${choice.policy.label}, is signed by another key than this seal's, or was changed: ` +
          `find out where it came from, and put the signed one in its place (sealctl tpm add); until then ${OTHERWISE}`,
      )
    case 'other-reference':
      throw new TpmError(
        'TPM_POLICY_OTHER_REFERENCE',
        `the PCR policy for the state of this machine, ${choice.policy.label}, is approved for the reference ${choice.policy.reference}, ` +
          `and this key is sealed under ${reference}: sign it for that one too, or seal anew (sealctl tpm reseal); until then ${OTHERWISE}`,
      )
    case 'none':
      throw new TpmError(
        'TPM_STATE_UNAPPROVED',
        `there is no PCR policy that this seal's signer has approved for the reference ${reference}: approve the state of this machine ` +
          `(sealctl tpm predict, sign, add); until then open by another seal`,
      )
  }
}

/**
 * Runs a policy session up to the signer's approval: TPM2_PolicyPCR, TPM2_VerifySignature, TPM2_PolicyAuthorize.
 *
 * @param policy - that fits the PCRs, its signature checked.
 * @throws {@link TpmError} `TPM_PCR_MISMATCH`.
 */
export async function runApprovedPolicy(
  tpm: TpmConnection,
  session: Session,
  { signer, policyRef }: Authorized,
  policy: SignedPolicy,
): Promise<void> {
  const approvedPolicy = policyDigestOf(policy)
  await runPolicyPcr(
    tpm,
    session.handle,
    policy.values.map(({ index }) => index),
  )
  const key = await loadPublicKey(tpm, signer)
  const digest = approvedPolicyHash(approvedPolicy, policyRef)
  const ticket = await verifySignature(tpm, key, digest, policy.signature)
  try {
    await runPolicyAuthorize(tpm, session.handle, { approvedPolicy, policyRef, signerName: key.name, ticket })
  } catch (error) {
    throw bareRcOf(error) === undefined ? error : pcrsMovedError(error)
  }
  await flushContext(tpm, key.handle)
}

/** Between the choice and its use somebody extended a PCR, or what was read of them was not true. */
export function pcrsMovedError(cause: unknown): TpmError {
  return new TpmError(
    'TPM_PCR_MISMATCH',
    `the TPM does not find its PCRs as it said a moment ago: they changed just now; try again, or ${OTHERWISE}`,
    causedBy(cause),
  )
}
