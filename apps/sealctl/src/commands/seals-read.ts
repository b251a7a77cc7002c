import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { renderSeal } from '../render/seals.ts'

export function addSealsRead(seals: Command, session: Session): void {
  const command = seals
    .command('read')
    .description('Shows one seal: its members, their records, and which of them a quantum computer could open one day.')
    .argument('<name>', 'name of the seal')
  agentCommand(command, session, {
    examples: ['seals read tpm', 'seals read tpm --json'],
    async action({ agent, args: [name = ''], context }) {
      const json = await agent.seal(name, context.signal)
      return { text: renderSeal(json), json }
    },
  })
}
