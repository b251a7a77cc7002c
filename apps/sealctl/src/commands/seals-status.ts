import { type Command } from 'commander'
import { type NamedSealStatusView } from '@sealwright/control-api'
import { agentCommand, type Session } from '../command.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { table } from '../render/plain.ts'
import { renderHealth, renderSet } from '../render/status.ts'

export function addSealsStatus(seals: Command, session: Session): void {
  const command = seals
    .command('status')
    .description(
      'Says how one seal of this node is, by the last real unwrap. Ends with 3 if it does not open. Of a Shamir seal it tells the sets of ' +
        'shares, and which of them are in.',
    )
    .argument('<name>', 'name of the seal')
  agentCommand(command, session, {
    examples: ['seals status tpm', 'seals status people'],
    async action({ agent, args: [name = ''], context }) {
      const json = await agent.sealStatus(name, context.signal)
      const { type, priority, disabled, sealed, opened, autoUnsealHealth } = json
      return {
        text: table([
          ['seal', `${json.name} (${type}, priority ${priority}${disabled ? ', disabled' : ''})`],
          ['node', sealed ? 'sealed' : 'open'],
          ['opened by it', opened ? 'yes' : 'no'],
          ['health', type === 'shamir' ? 'opens by shares of people' : renderHealth(autoUnsealHealth, context.now())],
          ...renderSets(json),
        ]),
        json,
        exitCode: autoUnsealHealth.state === 'failing' ? EXIT_CODES.atRisk : EXIT_CODES.done,
      }
    },
  })
}

/** A line for each set of shares. */
function renderSets({ name, sets }: NamedSealStatusView): readonly (readonly string[])[] {
  if (sets === undefined) return []
  if (sets.length === 0) return [['shares', `none were made yet: sealctl init --seal ${name}`]]
  return sets.map(set => ['shares', renderSet(set)])
}
