import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { renderGenerations } from '../render/rotation.ts'

export function addGenerations(parent: Command, session: Session): void {
  const command = parent.command('generations').description('Lists every generation of the seal key.')
  agentCommand(command, session, {
    examples: ['generations'],
    async action({ agent, context }) {
      const json = await agent.generations(context.signal)
      return { text: renderGenerations(json.generations), json }
    },
  })
}
