import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { renderSeals } from '../render/seals.ts'

export function addSealsList(seals: Command, session: Session): void {
  const command = seals.command('list').description('Lists every seal of the keyring and of this node’s configuration.')
  agentCommand(command, session, {
    examples: ['seals list'],
    async action({ agent, context }) {
      const json = await agent.seals(context.signal)
      return { text: renderSeals(json.seals), json }
    },
  })
}
