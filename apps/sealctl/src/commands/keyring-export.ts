import { type Command } from 'commander'
import { agentCommand, type Session } from '../command.ts'
import { write } from '../context.ts'
import { SealctlError } from '../errors.ts'
import { writeNewFile } from '../files.ts'

export function addKeyringExport(keyring: Command, session: Session): void {
  const command = keyring
    .command('export')
    .description('Gives the keyring as the agent holds it. It has no plain key; any seal that it names opens it.')
    .option('--output <file>', 'a new file; without it the bytes go into a pipe')
  agentCommand<{ readonly output?: string }>(command, session, {
    examples: ['keyring export --output keyring.bin', 'keyring export > keyring.bin'],
    async action({ agent, options: { output, json }, context }) {
      if (output === undefined && (json || context.stdout.isTTY === true)) {
        throw new SealctlError(
          'SEALCTL_NO_TERMINAL',
          'a keyring is bytes: name a file with --output, or pipe it without --json',
        )
      }
      const bytes = await agent.exportKeyring(context.signal)
      const facts = { bytes: bytes.byteLength }
      if (output === undefined) {
        await write(context.stdout, bytes)
        return { text: '', json: facts }
      }
      await writeNewFile(output, bytes)
      return { text: `${bytes.byteLength} bytes were written to ${output}\n`, json: { ...facts, output } }
    },
  })
}
