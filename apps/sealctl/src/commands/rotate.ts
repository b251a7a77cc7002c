import { type Command } from 'commander'
import { type ControlClient } from '@sealwright/control-client'
import { confirmMembers, showPlan } from '../break/confirm.ts'
import { addBreakOptions, type BreakOptions, isForBreak } from '../break/options.ts'
import { type BreakBody, bodyOf, planBreak } from '../break/plan.ts'
import { agentCommand, type Session } from '../command.ts'
import { type CommandContext, write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { renderRotation } from '../render/rotation.ts'

interface RotateOptions extends BreakOptions {
  readonly breakChain: boolean
}

/** @returns the command, for those below it. */
export function addRotate(parent: Command, session: Session): Command {
  const command = parent
    .command('rotate')
    .description(
      'Makes a new generation of the seal key. Seals that are offline reach it by a link, once they are back. With --break-chain there is ' +
        'none: the members that are shown, and nobody else, get the new key.',
    )
    .option('--break-chain', 'write no link: for a seal or key that may be in wrong hands', false)
  return agentCommand<RotateOptions>(addBreakOptions(command), session, {
    examples: [
      'rotate',
      'rotate --break-chain --snapshot now.snap',
      'rotate --break-chain --nodes node-a,node-b,node-c',
    ],
    async action({ agent, options, context }) {
      const body = options.breakChain ? await agreedBreak(context, agent, options) : withoutBreak(options)
      if (context.stderr.isTTY === true) await write(context.stderr, 'rotating: every member that is needed is asked\n')
      const json = await agent.rotate(body, context.signal)
      return { text: renderRotation(json), json }
    },
  })
}

async function agreedBreak(
  context: CommandContext,
  agent: ControlClient,
  options: RotateOptions,
): Promise<BreakBody & { readonly breakChain: true }> {
  const { members } = await agent.members(context.signal)
  const plan = await planBreak(context, { members, options })
  if (options.members === undefined) {
    await showPlan(context, plan)
    await confirmMembers(context, plan)
  }
  return { breakChain: true, ...bodyOf(plan, options) }
}

function withoutBreak(options: RotateOptions): { readonly breakChain: false } {
  if (!isForBreak(options)) return { breakChain: false }
  throw new SealctlError(
    'SEALCTL_USAGE',
    '--snapshot, --nodes, --lost, --drop and --members are for --break-chain: a rotation with a link shuts nobody out',
  )
}
