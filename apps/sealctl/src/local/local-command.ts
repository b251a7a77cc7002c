import { type Command } from 'commander'
import { type CommandResult, type Session } from '../command.ts'
import { write } from '../context.ts'
import { EXIT_CODES, EXIT_CODES_HELP } from '../exit-codes.ts'

const DEFAULT_CONFIG = '/etc/sealwright/node.yaml'

/** Options of every command that works on this machine without an agent. */
export interface LocalOptions {
  readonly config: string
  readonly json: boolean
}

/**
 * Gives a command that needs no agent its common options, its examples, and what it does.
 *
 * @param examples - command lines without `sealctl`.
 */
export function localCommand(
  command: Command,
  session: Session,
  {
    examples,
    action,
  }: {
    readonly examples: readonly string[]
    readonly action: () => Promise<CommandResult>
  },
): Command {
  const { context } = session
  return command
    .option('--config <file>', 'configuration of this node', DEFAULT_CONFIG)
    .option('--json', 'print one JSON object, also for a failure', false)
    .addHelpText('after', `\nExamples:\n${examples.map(line => `  sealctl ${line}\n`).join('')}${EXIT_CODES_HELP}`)
    .action(async () => {
      const { text, json, exitCode = EXIT_CODES.done } = await action()
      await write(context.stdout, command.opts<LocalOptions>().json ? `${JSON.stringify(json)}\n` : text)
      session.exitCode = exitCode
    })
}
