import { type Command } from 'commander'
import { MAX_KEYRING_BODY_BYTES } from '@sealwright/control-api'
import { agentCommand, type Session } from '../command.ts'
import { readWhole } from '../files.ts'

export function addKeyringImport(keyring: Command, session: Session): void {
  const command = keyring
    .command('import')
    .description(
      'Unites the keyring of another node with the one that this node holds. Nothing that is held is lost by it.',
    )
    .argument('<file>', 'a keyring; - reads it from a pipe')
  agentCommand(command, session, {
    examples: ['keyring import keyring.bin', 'keyring import - < keyring.bin'],
    async action({ agent, args: [file = ''], context }) {
      const bytes = await readWhole(context, file, MAX_KEYRING_BODY_BYTES)
      const json = await agent.importKeyring(bytes, context.signal)
      const outcome = json.changed ? 'the keyring has learned from it' : 'there was nothing new in it'
      return { text: `${outcome}; its revision is ${json.revision}\n`, json }
    },
  })
}
