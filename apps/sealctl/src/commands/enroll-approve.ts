import { type Command } from 'commander'
import { MAX_ENROLMENT_BYTES } from '@sealwright/control-api'
import { agentCommand, type Session } from '../command.ts'
import { openNewFile, readWhole } from '../files.ts'
import { plain } from '../render/plain.ts'
import { renderMembers } from '../render/seals.ts'
import { askVisible } from '../terminal/ask.ts'

interface ApproveOptions {
  readonly request: string
  readonly label: string
  readonly fingerprint?: string
  readonly output: string
}

export function addEnrollApprove(enroll: Command, session: Session): void {
  const command = enroll
    .command('approve')
    .description(
      'Takes a new node in. Read the fingerprint from the new node itself, not from where the request came from.',
    )
    .requiredOption('--request <file>', 'the request of the new node; - reads it from a pipe')
    .requiredOption('--label <text>', 'what the new node is called')
    .requiredOption('--output <file>', 'a new file for the keyring that the new node gets')
    .option('--fingerprint <text>', 'as the new node shows it, instead of typing it')
  agentCommand<ApproveOptions>(command, session, {
    examples: ['enroll approve --request node-d.req --label node-d --output node-d.keyring'],
    async action({ agent, options, context }) {
      const { request, label, output } = options
      const bytes = await readWhole(context, request, MAX_ENROLMENT_BYTES)
      // Before anybody is let in whose keyring would then have no place.
      await using file = await openNewFile(output)
      const fingerprint =
        options.fingerprint ??
        (await askVisible(context, 'Fingerprint that the new node shows: ', '--fingerprint FINGERPRINT'))
      const { member, keyring } = await agent.approveEnrolment(bytes, { fingerprint, label }, context.signal)
      await file.fill(keyring)
      return {
        text: `${renderMembers([member])}\nits keyring is in ${plain(output)}: bring it to the new node\n`,
        json: { member, output },
      }
    },
  })
}
