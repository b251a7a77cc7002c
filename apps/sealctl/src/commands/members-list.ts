import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { plain } from '../render/plain.ts'
import { renderMembers } from '../render/seals.ts'

export function addMembersList(members: Command, session: Session): void {
  const command = members.command('list').description('Lists every member of every seal, the removed ones too.')
  agentCommand(command, session, {
    examples: ['members list'],
    async action({ agent, context }) {
      const json = await agent.members(context.signal)
      const text = `${renderMembers(json.members)}fingerprint of the active members: ${plain(json.membersFingerprint)}\n`
      return { text, json }
    },
  })
}
