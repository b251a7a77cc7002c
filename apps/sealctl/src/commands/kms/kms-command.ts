import { type Command } from 'commander'
import { type CommandResult, type Session } from '../../command.ts'
import { type CommandContext, write } from '../../context.ts'
import { EXIT_CODES } from '../../exit-codes.ts'

export const DEFAULT_CONFIG = '/etc/sealwright/kms.yaml'

const EXIT_CODES_HELP = `
Exit codes: 0 done or ready, 1 error, 2 something has to be mended, or is needed still, 3 only warnings,
4 refused as things are, 5 not confirmed, 6 OpenBao, the plugin, etcd, a seal or a device is unavailable, 130 interrupted.`

/** Options of every command that works with a KMS plugin's configuration. */
export interface KmsOptions {
  readonly config: string
  readonly json: boolean
}

/** One call of such a command. */
export interface KmsCall<Options> {
  readonly options: KmsOptions & Options
  /** Positional arguments. */
  readonly args: readonly string[]
  readonly context: CommandContext
}

/**
 * Gives a command of `sealctl kms` its common options, its examples, and what it does. What that needs is loaded when it is called.
 *
 * @param examples - command lines without `sealctl kms`.
 */
export function kmsCommand<Options>(
  command: Command,
  session: Session,
  {
    examples,
    load,
  }: {
    readonly examples: readonly string[]
    readonly load: () => Promise<(call: KmsCall<Options>) => Promise<CommandResult>>
  },
): Command {
  const { context } = session
  return command
    .option('--config <file>', 'configuration of the KMS plugin of this node', DEFAULT_CONFIG)
    .option('--json', 'print one JSON object, also for a failure', false)
    .addHelpText('after', `\nExamples:\n${examples.map(line => `  sealctl kms ${line}\n`).join('')}${EXIT_CODES_HELP}`)
    .action(async (...given: unknown[]) => {
      const options = command.opts<KmsOptions & Options>()
      const run = await load()
      const args = given.filter(argument => typeof argument === 'string')
      const { text, json, exitCode = EXIT_CODES.done } = await run({ options, args, context })
      await write(context.stdout, options.json ? `${JSON.stringify(json)}\n` : text)
      session.exitCode = exitCode
    })
}
