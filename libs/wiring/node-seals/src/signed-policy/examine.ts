import { type KeyObject } from 'node:crypto'
import { type Keyring } from '@sealwright/keyring'
import {
  choosePolicy,
  differencesFrom,
  isSignedBy,
  type PcrPolicy,
  pcrsOfPolicies,
  policyRefOf,
  type SignedPolicy,
} from '@sealwright/pcr-policies'
import { type NodeConfig } from '@sealwright/node-config'
import { readPcrs } from '@sealwright/tpm'
import { type SealFailure } from '@sealwright/unseal'
import { classifySealFailure } from '../classify.ts'
import { proveThrough } from '../node-seals.ts'
import { tpmAccess } from '../tpm-access.ts'
import { tpmSeal } from '../tpm-seal.ts'
import { isConfiguredCluster, signedSealOf, signerOf } from './configured.ts'
import { type PoliciesFile, readPoliciesFileIfAny } from './policies-file.ts'

/**
 * How one policy stands to this node now.
 * - `fits`: the TPM opens by it;
 * - `differs`: approved for another state of the machine;
 * - `predicted`: nobody has signed it;
 * - `forged`: another key than the seal's signer has signed it, or it was changed;
 * - `other-reference`: approved, yet not for the configured reference.
 */
export type PolicyStanding = 'fits' | 'differs' | 'predicted' | 'forged' | 'other-reference'

/** A policy as a report shows it. */
export interface PolicyView {
  readonly policy: PcrPolicy
  readonly standing: PolicyStanding
  /** PCRs that are not as it says, ascending. */
  readonly differsIn: readonly number[]
}

/** Which seal of which node. */
export interface ExamineInput {
  readonly config: NodeConfig
  readonly sealName: string
  /** As the store has it. */
  readonly keyring: Keyring
}

/** What a test of a node's approved policies has found. */
export interface PoliciesReport {
  readonly reference: string
  /** In the order of the file. */
  readonly policies: readonly PolicyView[]
  /** By which the TPM opens now. */
  readonly booted: SignedPolicy | undefined
  /** Why the records of this node in the seal do not open, every one; `undefined` if they do: the TPM has unsealed them just now. */
  readonly failure: SealFailure | undefined
  readonly file: PoliciesFile
}

/**
 * Tests the approved policies of a seal: compares each with the PCRs as they are, and has the TPM open this node's records for real.
 * Changes nothing.
 *
 * @throws {SignedPolicyError} `POLICIES_FILE_UNREADABLE`; {PcrPoliciesError}; {TpmError} if the PCRs cannot be read.
 */
export async function examinePolicies(input: ExamineInput, signal: AbortSignal): Promise<PoliciesReport> {
  const { config, sealName, keyring } = input
  const seal = signedSealOf(config, sealName)
  const { reference, policiesFile } = seal.signedPolicy
  const publicKey = signerOf(seal)
  const file = await readPoliciesFileIfAny(policiesFile)
  const { policies } = file
  const pcrs = pcrsOfPolicies(policies)
  const current = pcrs.length === 0 ? [] : await readPcrs(tpmAccess(seal), pcrs, { signal })
  const choice = choosePolicy({ policies, publicKey, policyRef: policyRefOf(reference), current })
  return {
    reference,
    file,
    policies: policies.map(policy => {
      const differsIn = differencesFrom(policy, current).map(({ index }) => index)
      return { policy, differsIn, standing: standingOf(policy, { publicKey, reference, fits: differsIn.length === 0 }) }
    }),
    booted: choice.kind === 'fits' ? choice.policy : undefined,
    failure: await failureOf(proveThrough(tpmSeal(seal, isConfiguredCluster(config)), { keyring }, signal), signal),
  }
}

function standingOf(
  policy: PcrPolicy,
  { publicKey, reference, fits }: { readonly publicKey: KeyObject; readonly reference: string; readonly fits: boolean },
): PolicyStanding {
  if (policy.state === 'predicted') return 'predicted'
  if (!isSignedBy(policy, publicKey)) return 'forged'
  if (policy.reference !== reference) return 'other-reference'
  return fits ? 'fits' : 'differs'
}

async function failureOf(proof: Promise<void>, signal: AbortSignal): Promise<SealFailure | undefined> {
  try {
    await proof
    return undefined
  } catch (error) {
    signal.throwIfAborted()
    return classifySealFailure(error)
  }
}
