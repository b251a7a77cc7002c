import { type Command } from 'commander'
import { judge, type Verdict } from '@sealwright/control-api'
import { agentCommand, type Session } from '../command.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { renderStatus } from '../render/status.ts'

const EXIT_CODE_OF = {
  ready: EXIT_CODES.done,
  'not-ready': EXIT_CODES.notReady,
  'at-risk': EXIT_CODES.atRisk,
} as const satisfies Record<Verdict['kind'], number>

export function addStatus(parent: Command, session: Session): void {
  const command = parent
    .command('status')
    .description('Unwraps through every seal for real, then says whether this node is and stays able to open itself.')
    .option('--no-probe', 'do not touch the seals: report the last real unwrap')
  agentCommand<{ readonly probe: boolean }>(command, session, {
    examples: ['status', 'status --no-probe --json'],
    async action({ agent, options, context }) {
      if (options.probe) await agent.probe(context.signal)
      const status = await agent.status(context.signal)
      const verdict = judge(status)
      return {
        text: renderStatus(status, context.now()),
        json: { verdict, ...status },
        exitCode: EXIT_CODE_OF[verdict.kind],
      }
    },
  })
}
