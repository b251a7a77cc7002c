import { type Command } from 'commander'
import { agentCommand, collect, type Session } from '../command.ts'
import { readPieces } from '../files.ts'
import { renderGenerations } from '../render/rotation.ts'
import { reportProgress } from '../terminal/progress.ts'

interface RetireOptions {
  readonly snapshot: string
  readonly lost?: readonly string[]
}

export function addRotateRetire(rotate: Command, session: Session): void {
  const command = rotate
    .command('retire')
    .description(
      'Retires the generations that a snapshot of OpenBao does not name any more. Take it after OpenBao has re-wrapped.',
    )
    .requiredOption('--snapshot <file>', 'a raft snapshot of this cluster; - reads it from a pipe')
    .option('--lost <node>', 'raft server that is lost for good; may be given several times', collect)
  agentCommand<RetireOptions>(command, session, {
    examples: ['rotate retire --snapshot openbao.snap', 'rotate retire --snapshot openbao.snap --lost node-c'],
    async action({ agent, options: { snapshot, lost = [] }, context }) {
      const pieces = reportProgress(context, readPieces(context, snapshot))
      const json = await agent.retire(pieces, lost.length === 0 ? {} : { lostNode: [...lost] }, context.signal)
      const { retired, kept } = json
      const outcome =
        retired.length === 0
          ? 'nothing was retired\n'
          : `retired now: ${retired.map(({ number }) => number).join(', ')}\n`
      return { text: `${renderGenerations([...retired, ...kept])}${outcome}`, json }
    },
  })
}
