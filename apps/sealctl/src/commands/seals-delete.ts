import { type Command } from 'commander'
import { agentCommand, collect, type Session } from '../command.ts'
import { plain } from '../render/plain.ts'
import { confirmName } from '../terminal/ask.ts'

interface DeleteOptions {
  readonly confirm?: string
  readonly checked?: readonly string[]
}

export function addSealsDelete(seals: Command, session: Session): void {
  const command = seals
    .command('delete')
    .description(
      'Removes a seal with all its records. Refused unless another automatic seal opens this node now, while the seal is in use here, and ' +
        'if it is the last way in of a TPM’s node that the keyring knows. Which seal opened another node cannot be seen from here: look at ' +
        'each with sealctl status, and say so with --checked.',
    )
    .argument('<name>', 'name of the seal')
    .option('--confirm <name>', 'the name again, instead of typing it')
    .option(
      '--checked <node>',
      'raft server that was looked at: another seal opens it. Name every server, each by its own --checked',
      collect,
    )
  agentCommand<DeleteOptions>(command, session, {
    examples: [
      'seals delete old-hsm --checked node-a --checked node-b --checked node-c',
      'seals delete old-hsm --checked node-a --confirm old-hsm',
    ],
    async action({ agent, args: [name = ''], options, context }) {
      const what = `This removes the seal ${name} with all its records: nothing of it will open what is written from now on.`
      const confirm = await confirmName(context, { name, what, given: options.confirm })
      const { checked = [] } = options
      await agent.deleteSeal(
        name,
        { confirm, ...(checked.length === 0 ? {} : { checkedNode: [...checked] }) },
        context.signal,
      )
      return {
        text:
          `the seal ${plain(name)} is removed\n` +
          'copies of the keyring from before still hold its records: if it may be in wrong hands, run sealctl rotate --break-chain\n',
        json: { deleted: name },
      }
    },
  })
}
