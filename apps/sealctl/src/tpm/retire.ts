import { type NodeConfig } from '@sealwright/node-config'
import { readStoredKeyring, retireFromPoliciesFile } from '@sealwright/node-seals'
import { type CommandResult } from '../command.ts'

/**
 * Drops the policies from before this boot, after the TPM has opened the stored records by the present one.
 *
 * @throws {SignedPolicyError} `POLICIES_NOT_PROVEN` and others; {PcrPoliciesError}, {StoreError}, {TpmError}.
 */
export async function retire(
  input: { readonly config: NodeConfig; readonly sealName: string; readonly dropPending: boolean },
  signal: AbortSignal,
): Promise<CommandResult> {
  const keyring = await readStoredKeyring(input.config.store)
  const { kept, dropped } = await retireFromPoliciesFile({ ...input, keyring }, signal)
  const names = (policies: typeof kept): readonly string[] => policies.map(({ label }) => label)
  return {
    text:
      dropped.length === 0
        ? `Nothing to retire: ${names(kept).join(', ')} stays.\n`
        : `Retired: ${names(dropped).join(', ')}. Still approved: ${names(kept).join(', ')}.\n` +
          'This node forgets them; whoever kept a copy can bring one back, and the TPM opens by it. To take that away as well, change the ' +
          'reference and seal anew (sealctl tpm reseal).\n',
    json: { seal: input.sealName, retired: names(dropped), kept: names(kept) },
  }
}
