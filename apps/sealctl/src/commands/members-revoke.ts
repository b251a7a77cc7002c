import { type Command } from 'commander'
import { type MemberView } from '@sealwright/control-api'
import { confirmMembers, membersOption, showPlan } from '../break/confirm.ts'
import { addBreakOptions, type BreakOptions } from '../break/options.ts'
import { type BreakPlan, bodyOf, planBreak } from '../break/plan.ts'
import { agentCommand, type Session } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { plain } from '../render/plain.ts'
import { renderRotation } from '../render/rotation.ts'
import { confirmName } from '../terminal/ask.ts'

interface RevokeOptions extends BreakOptions {
  readonly confirm?: string
}

export function addMembersRevoke(members: Command, session: Session): void {
  const command = members
    .command('revoke')
    .description(
      'Takes the way in of a member away for good: removes its records, and rotates with a broken chain, so that no old copy of the ' +
        'keyring helps it. The other members, which are shown, get the new key, and nobody else.',
    )
    .argument('<seal>', 'name of the seal')
    .argument('<member>', 'label of the member, or its id')
    .option('--confirm <label>', 'the label of the member again, instead of typing it')
  agentCommand<RevokeOptions>(addBreakOptions(command), session, {
    examples: [
      'members revoke tpm node-c --snapshot now.snap',
      'members revoke emergency board --nodes node-a,node-b --confirm board --members 0123456789abcdef0123456789abcdef',
    ],
    async action({ agent, args: [seal = '', name = ''], options, context }) {
      const { members: listed } = await agent.members(context.signal)
      const revoked = memberOf(listed, seal, name)
      const plan = await planBreak(context, { members: listed, revoked, options })
      await confirmRevocation(context, revoked, plan, options)
      const { memberId, label } = revoked
      const json = await agent.revokeMember(
        { seal, memberId, confirm: label, ...bodyOf(plan, options) },
        context.signal,
      )
      return { text: `${plain(label)} is shut out\n${renderRotation(json)}`, json }
    },
  })
}

/** One question at most: who types the label after the members were shown has confirmed those too. */
async function confirmRevocation(
  context: CommandContext,
  { seal, memberId, label }: MemberView,
  plan: BreakPlan,
  { confirm, members }: RevokeOptions,
): Promise<void> {
  if (members === undefined) await showPlan(context, plan)
  const what =
    `This shuts ${label} (${memberId}) of the seal ${seal} out, and rotates the seal key` +
    (members === undefined ? `. The ${plan.staying.length} members that stay get it: look at each.` : '.')
  const option = `--confirm ${plain(label)}${members === undefined ? ` and ${membersOption(plan.fingerprint)}` : ''}`
  await confirmName(context, { name: label, what, given: confirm, option })
  if (confirm !== undefined && members === undefined) await confirmMembers(context, plan)
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
