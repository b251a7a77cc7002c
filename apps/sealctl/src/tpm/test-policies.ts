import { type NodeConfig } from '@sealwright/node-config'
import { examinePolicies, type PolicyStanding, type PolicyView, readStoredKeyring } from '@sealwright/node-seals'
import { policyDigestOf } from '@sealwright/pcr-policies'
import { type CommandResult } from '../command.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { table } from '../render/plain.ts'

const STANDING_TEXTS: Readonly<Record<PolicyStanding, string>> = {
  fits: 'fits this boot',
  differs: 'approved for another state',
  predicted: 'NOT SIGNED: sealctl tpm sign',
  forged: 'NOT SIGNED BY THIS SEAL’S SIGNER',
  'other-reference': 'approved for another reference',
}

/**
 * Checks every policy of this node, and has the TPM open the stored records for real. Changes nothing, and needs no agent.
 *
 * @returns `exitCode` 2 if the seal does not open.
 * @throws {SignedPolicyError}, {PcrPoliciesError}, {StoreError}; {TpmError} if the PCRs cannot be read.
 */
export async function testPolicies(
  { config, sealName }: { readonly config: NodeConfig; readonly sealName: string },
  signal: AbortSignal,
): Promise<CommandResult> {
  const keyring = await readStoredKeyring(config.store)
  const { reference, policies, booted, failure } = await examinePolicies({ config, sealName, keyring }, signal)
  const verdict =
    failure === undefined
      ? `${sealName} opens: the TPM has unsealed its record just now`
      : `${sealName} DOES NOT OPEN: ${failure.code}: ${failure.message}`
  return {
    text: `${table([
      ['POLICY', 'REFERENCE', 'CREATED', 'PCRS', 'STANDING', 'DIFFERS IN PCR'],
      ...policies.map(toRow),
    ])}\nreference ${reference}: ${verdict}\n`,
    json: {
      seal: sealName,
      reference,
      opens: failure === undefined,
      ...(failure === undefined ? {} : { failure: { code: failure.code, message: failure.message } }),
      ...(booted === undefined ? {} : { booted: booted.label }),
      policies: policies.map(toJson),
    },
    exitCode: failure === undefined ? EXIT_CODES.done : EXIT_CODES.notReady,
  }
}

function toRow({ policy, standing, differsIn }: PolicyView): readonly string[] {
  const created = new Date(policy.createdAtMs).toISOString()
  const pcrs = policy.values.map(({ index }) => index).join(',')
  return [policy.label, policy.reference, created, pcrs, STANDING_TEXTS[standing], differsIn.join(',')]
}

function toJson({ policy, standing, differsIn }: PolicyView): object {
  return {
    label: policy.label,
    reference: policy.reference,
    createdAt: new Date(policy.createdAtMs).toISOString(),
    policy: Buffer.from(policyDigestOf(policy)).toString('hex'),
    standing,
    differsInPcrs: differsIn,
  }
}
