import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { plain } from '../render/plain.ts'
import { confirmName } from '../terminal/ask.ts'

export function addSealsDelete(seals: Command, session: Session): void {
  const command = seals
    .command('delete')
    .description('Removes a seal with all its records. Refused for the last way in, and for a seal that is in use.')
    .argument('<name>', 'name of the seal')
    .option('--confirm <name>', 'the name again, instead of typing it')
  agentCommand<{ readonly confirm?: string }>(command, session, {
    examples: ['seals delete old-hsm', 'seals delete old-hsm --confirm old-hsm'],
    async action({ agent, args: [name = ''], options, context }) {
      const what = `This removes the seal ${name} with all its records: nothing of it will open what is written from now on.`
      const confirm = await confirmName(context, { name, what, given: options.confirm })
      await agent.deleteSeal(name, { confirm }, context.signal)
      return {
        text:
          `the seal ${plain(name)} is removed\n` +
          'copies of the keyring from before still hold its records: if it may be in wrong hands, run sealctl rotate --break-chain\n',
        json: { deleted: name },
      }
    },
  })
}
