import { type Command, InvalidArgumentError } from 'commander'
import { controlClient, type ControlClient } from '@sealwright/control-client'
import { type CommandContext, write } from './context.ts'
import { EXIT_CODES, EXIT_CODES_HELP } from './exit-codes.ts'

const DEFAULT_SOCKET = '/run/sealwright/control.sock'
const DEFAULT_TIMEOUT_SECONDS = 60
const MAX_TIMEOUT_SECONDS = 86_400

/** Options of every command that asks an agent. */
export interface AgentOptions {
  readonly socket: string
  /** Seconds. */
  readonly timeout: number
  readonly json: boolean
}

/** What a command found or did. */
export interface CommandResult {
  /** One or more lines for people, each with its line feed. */
  readonly text: string
  /** The same for programs. */
  readonly json: object
  readonly exitCode?: number
}

export interface Call<Options> {
  readonly agent: ControlClient
  /** Positional arguments. */
  readonly args: readonly string[]
  readonly options: AgentOptions & Options
  readonly context: CommandContext
}

/** Where commands leave how they ended. */
export interface Session {
  readonly context: CommandContext
  exitCode: number
}

/**
 * Gives a command the options of every command, its examples, and what it does.
 *
 * @param examples - command lines without `sealctl`.
 */
export function agentCommand<Options>(
  command: Command,
  session: Session,
  {
    examples,
    action,
  }: { readonly examples: readonly string[]; readonly action: (call: Call<Options>) => Promise<CommandResult> },
): Command {
  const { context } = session
  return command
    .option('--socket <path>', "the agent's control socket", DEFAULT_SOCKET)
    .option('--timeout <seconds>', 'how long the agent may take', parseSeconds, DEFAULT_TIMEOUT_SECONDS)
    .option('--json', 'print one JSON object, also for a failure', false)
    .addHelpText('after', `\nExamples:\n${examples.map(line => `  sealctl ${line}\n`).join('')}${EXIT_CODES_HELP}`)
    .action(async (...given: unknown[]) => {
      const options = command.opts<AgentOptions & Options>()
      const agent = controlClient({ socketPath: options.socket, timeoutMs: options.timeout * 1_000 })
      try {
        const args = given.filter(argument => typeof argument === 'string')
        const { text, json, exitCode = EXIT_CODES.done } = await action({ agent, args, options, context })
        await write(context.stdout, options.json ? `${JSON.stringify(json)}\n` : text)
        session.exitCode = exitCode
      } finally {
        await agent.close()
      }
    })
}

/** Collects the values of an option that may come several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** A whole number within limits. @throws {InvalidArgumentError} which commander turns into a message that names the option. */
export function parseWholeNumber(text: string, minimum: number, maximum: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (number >= minimum && number <= maximum) return number
  throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`)
}

function parseSeconds(text: string): number {
  return parseWholeNumber(text, 1, MAX_TIMEOUT_SECONDS)
}
