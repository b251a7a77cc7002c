import { type Command } from 'commander'
import { agentCommand, collect, type Session } from '../command.ts'
import { write } from '../context.ts'
import { renderRotation } from '../render/rotation.ts'

interface RotateOptions {
  readonly breakChain: boolean
  readonly drop?: readonly string[]
}

/** @returns the command, for those below it. */
export function addRotate(parent: Command, session: Session): Command {
  const command = parent
    .command('rotate')
    .description(
      'Makes a new generation of the seal key. Seals that are offline reach it by a link, once they are back.',
    )
    .option('--break-chain', 'write no link: for a seal or key that may be in wrong hands', false)
    .option('--drop <member>', 'id of a member that may be given up; may be given several times', collect)
  return agentCommand<RotateOptions>(command, session, {
    examples: ['rotate', 'rotate --break-chain --drop 0123456789abcdef0123456789abcdef'],
    async action({ agent, options: { breakChain, drop = [] }, context }) {
      if (context.stderr.isTTY === true) await write(context.stderr, 'rotating: every member that is needed is asked\n')
      const json = await agent.rotate({ breakChain, drop: [...drop] }, context.signal)
      return { text: renderRotation(json), json }
    },
  })
}
