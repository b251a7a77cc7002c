import { type Command } from 'commander'
import { type MemberView } from '@sealwright/control-api'
import { agentCommand, collect, type Session } from '../command.ts'
import { SealctlError } from '../errors.ts'
import { plain } from '../render/plain.ts'
import { renderRotation } from '../render/rotation.ts'
import { confirmName } from '../terminal/ask.ts'

interface RevokeOptions {
  readonly confirm?: string
  readonly drop?: readonly string[]
}

export function addMembersRevoke(members: Command, session: Session): void {
  const command = members
    .command('revoke')
    .description(
      'Takes the way in of a member away for good: removes its records, and rotates with a broken chain, so that no old copy of the ' +
        'keyring helps it.',
    )
    .argument('<seal>', 'name of the seal')
    .argument('<member>', 'label of the member, or its id')
    .option('--confirm <label>', 'the label of the member again, instead of typing it')
    .option('--drop <member>', 'id of a member that may be given up too; may be given several times', collect)
  agentCommand<RevokeOptions>(command, session, {
    examples: ['members revoke tpm node-c', 'members revoke tpm node-c --confirm node-c'],
    async action({ agent, args: [seal = '', name = ''], options, context }) {
      const { memberId, label } = memberOf((await agent.members(context.signal)).members, seal, name)
      const what = `This shuts ${label} (${memberId}) of the seal ${seal} out, and rotates the seal key.`
      const confirm = await confirmName(context, { name: label, what, given: options.confirm })
      const json = await agent.revokeMember(
        { seal, memberId, confirm, drop: [...(options.drop ?? [])] },
        context.signal,
      )
      return { text: `${plain(label)} is shut out\n${renderRotation(json)}`, json }
    },
  })
}

function memberOf(members: readonly MemberView[], seal: string, name: string): MemberView {
  const fitting = members.filter(
    member => member.seal === seal && member.state === 'active' && (member.memberId === name || member.label === name),
  )
  const [found] = fitting
  if (found === undefined) {
    throw new SealctlError(
      'SEALCTL_MEMBER_UNKNOWN',
      `the seal ${plain(seal)} has no active member ${plain(name)}: see sealctl members list`,
    )
  }
  if (fitting.length === 1) return found
  throw new SealctlError('SEALCTL_MEMBER_UNKNOWN', `several members are called ${plain(name)}: name one by its id`)
}
