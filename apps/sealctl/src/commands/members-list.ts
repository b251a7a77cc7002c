import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { renderMembers } from '../render/seals.ts'

export function addMembersList(members: Command, session: Session): void {
  const command = members.command('list').description('Lists every member of every seal, the removed ones too.')
  agentCommand(command, session, {
    examples: ['members list'],
    async action({ agent, context }) {
      const json = await agent.members(context.signal)
      return { text: renderMembers(json.members), json }
    },
  })
}
