import { Command } from 'commander'
import { judge } from '@sealwright/control-api'
import { controlClient } from '@sealwright/control-client'
import { runProgram } from '@sealwright/program'
import packageJson from '../package.json' with { type: 'json' }
import { renderStatus, STATUS_EXIT_CODES } from './status.ts'

const DEFAULT_SOCKET = '/run/sealwright/control.sock'
const DEFAULT_TIMEOUT_MS = 60_000

const EXIT_CODES_HELP = '\nExit codes: 0 ready, 1 error, 2 not ready, 3 works but the next restart is at risk.'

interface StatusOptions {
  readonly socket: string
  readonly json: boolean
  readonly probe: boolean
}

async function status({ socket, json, probe }: StatusOptions, signal: AbortSignal): Promise<number> {
  const agent = controlClient({ socketPath: socket, timeoutMs: DEFAULT_TIMEOUT_MS })
  try {
    if (probe) await agent.probe(signal)
    const view = await agent.status(signal)
    const verdict = judge(view)
    process.stdout.write(json ? `${JSON.stringify({ verdict, ...view })}\n` : renderStatus(view, new Date()))
    return STATUS_EXIT_CODES[verdict.kind]
  } finally {
    await agent.close()
  }
}

await runProgram({
  name: 'sealctl',
  exitCodes: {},
  async main(signal) {
    let exitCode = 0
    const program = new Command('sealctl')
      .description('Looks after the seals of an OpenBao node.')
      .version(packageJson.version)
      .showHelpAfterError()
      .addHelpText('after', EXIT_CODES_HELP)
    program
      .command('status')
      .description('Unwraps through every seal for real, then says whether this node is and stays able to open itself.')
      .option('--socket <path>', "the agent's control socket", DEFAULT_SOCKET)
      .option('--json', 'print one JSON object', false)
      .option('--no-probe', 'do not touch the seals: report the last real unwrap')
      .addHelpText('after', EXIT_CODES_HELP)
      .action(async (options: StatusOptions) => {
        exitCode = await status(options, signal)
      })
    await program.parseAsync()
    return exitCode
  },
})
