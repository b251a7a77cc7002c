import { type NodeConfig } from '@sealwright/node-config'
import { resealTpm, type SealContext, tpmSealOf } from '@sealwright/node-seals'
import { type CommandResult } from '../command.ts'

/**
 * Makes the records of this node's TPM anew under the configured conditions, such as a new reference of signed policies. An agent that runs
 * goes on, and takes a change of its seals' configuration over at SIGHUP.
 *
 * @throws as {@link resealTpm}.
 */
export async function reseal(
  input: {
    readonly config: NodeConfig
    readonly sealName: string
    readonly context: SealContext
    readonly policiesFile?: string
  },
  signal: AbortSignal,
): Promise<CommandResult> {
  const { config, sealName } = input
  const { openedBy, generations } = await resealTpm(input, signal)
  const conditions = describeConditions(tpmSealOf(config, sealName))
  return {
    text:
      `${sealName} was sealed anew ${conditions}, generation ${generations.join(', ')}; the keys came from ${openedBy}, and the TPM has opened ` +
      `the new record.\nIf its configuration changed, then reload the agent: kill -HUP PID, or systemctl reload. Copies of the old record (keyring.previous, backups) still open in ` +
      `this TPM as before: only a break of the chain ends that (sealctl rotate --break-chain).\n`,
    json: { seal: sealName, openedBy, generations, conditions },
  }
}

function describeConditions({ signedPolicy, pcrs, pinFile }: ReturnType<typeof tpmSealOf>): string {
  const state =
    signedPolicy === undefined
      ? pcrs.length === 0
        ? 'without conditions on the state of this machine'
        : `to the present values of PCR ${pcrs.join(', ')}`
      : `to the signer under the reference ${signedPolicy.reference}`
  return pinFile === undefined ? state : `${state}, with a PIN`
}
