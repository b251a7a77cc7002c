import { type NodeConfig } from '@sealwright/node-config'
import { addToPoliciesFile, readPoliciesFile, signedSealOf } from '@sealwright/node-seals'
import { type CommandResult } from '../command.ts'

/**
 * Adds signed policies to those of this node. Their signatures are checked first; an agent reads them when it opens next.
 *
 * @throws {SignedPolicyError} `POLICIES_NOT_APPROVED` and others; {PcrPoliciesError}.
 */
export async function add(input: {
  readonly config: NodeConfig
  readonly sealName: string
  readonly path: string
}): Promise<CommandResult> {
  const { config, sealName, path } = input
  const seal = signedSealOf(config, sealName)
  const added = await readPoliciesFile(path)
  const count = await addToPoliciesFile(seal, added)
  const { policiesFile, reference } = seal.signedPolicy
  const others = added.filter(policy => policy.reference !== reference)
  const note =
    others.length === 0
      ? ''
      : `Those for another reference than the configured ${reference} open nothing until it is changed and the seal made anew: ` +
        `${others.map(policy => `${policy.label} (${policy.reference})`).join(', ')}\n`
  return {
    text: `${policiesFile}: ${added.length} added or signed, ${count} in all. See how they stand: sealctl tpm test --seal ${sealName}\n${note}`,
    json: {
      file: policiesFile,
      added: added.map(policy => ({ label: policy.label, reference: policy.reference })),
      policies: count,
    },
  }
}
