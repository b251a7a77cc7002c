import { Command, CommanderError } from 'commander'
import { ControlClientError } from '@sealwright/control-client'
import { errorCodeOf } from '@sealwright/system-error'
import packageJson from '../package.json' with { type: 'json' }
import { type Session } from './command.ts'
import { addEnrollApprove } from './commands/enroll-approve.ts'
import { addGenerations } from './commands/generations.ts'
import { addInit } from './commands/init.ts'
import { addKeyringExport } from './commands/keyring-export.ts'
import { addKeyringImport } from './commands/keyring-import.ts'
import { addKms } from './commands/kms/kms.ts'
import { addMembersList } from './commands/members-list.ts'
import { addMembersRevoke } from './commands/members-revoke.ts'
import { addRehearse } from './commands/rehearse.ts'
import { addRotate } from './commands/rotate.ts'
import { addRotateRetire } from './commands/rotate-retire.ts'
import { addSealsAdd } from './commands/seals-add.ts'
import { addSealsDelete } from './commands/seals-delete.ts'
import { addSealsList } from './commands/seals-list.ts'
import { addSealsRead } from './commands/seals-read.ts'
import { addSealsStatus } from './commands/seals-status.ts'
import { addStatus } from './commands/status.ts'
import { addUnseal } from './commands/unseal.ts'
import { type CommandContext, write } from './context.ts'
import { EXIT_CODES, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts'
import { addAudit, addEnrolment, addRecover } from './local/commands.ts'
import { registerPkcs11Commands } from './pkcs11/register.ts'
import { plain } from './render/plain.ts'
import { SEAL_CONTEXT } from './seal-context.ts'
import { registerTpmCommands } from './tpm/register.ts'

/**
 * Runs one command to its end.
 *
 * A failure is a line `sealctl: CODE: what to do` on stderr; with `--json` also an object on stdout, in the form that the control API
 * has for it.
 *
 * @param args - without the name of the program.
 * @returns the exit code.
 * @throws the reason of the signal of `context`.
 */
export async function runSealctl(args: readonly string[], context: CommandContext): Promise<number> {
  const session: Session = { context, exitCode: EXIT_CODES.done }
  const program = sealctl(session)
  try {
    await program.parseAsync(withLongOptions(args), { from: 'user' })
    return session.exitCode
  } catch (error) {
    // Help was asked for.
    if (error instanceof CommanderError && error.exitCode === EXIT_CODES.done) return error.exitCode
    context.signal.throwIfAborted()
    const { code, message } = error instanceof CommanderError ? wrongUse(error, program, args) : toldOf(error)
    await write(context.stderr, `sealctl: ${code}: ${plain(message)}\n`)
    if (args.includes('--json')) await write(context.stdout, `${JSON.stringify({ errors: [message], code })}\n`)
    return exitCodeOf(error)
  }
}

function sealctl(session: Session): Command {
  const { stdout } = session.context
  const program = new Command('sealctl')
    .description('Looks after the seals of an OpenBao node.')
    .version(packageJson.version)
    .addHelpText('after', EXIT_CODES_HELP)
    .exitOverride()
    // What stands behind the name of a command below another belongs to it.
    .enablePositionalOptions()
    .configureOutput({
      writeOut: text => stdout.write(text),
      // Of wrong use a line is enough, which is written below: help was not asked for.
      writeErr: () => undefined,
    })
  addStatus(program, session)
  const seals = program.command('seals').description('Named seals: any one of them opens the cluster.')
  addSealsList(seals, session)
  addSealsRead(seals, session)
  addSealsStatus(seals, session)
  addSealsAdd(seals, session)
  addSealsDelete(seals, session)
  addInit(program, session)
  addUnseal(program, session)
  addRehearse(program, session)
  addRotateRetire(addRotate(program, session), session)
  addGenerations(program, session)
  const members = program.command('members').description('Holders within the seals, such as the TPM of one node.')
  addMembersList(members, session)
  addMembersRevoke(members, session)
  const keyring = program.command('keyring').description('The keyring as a file.')
  addKeyringExport(keyring, session)
  addKeyringImport(keyring, session)
  const enroll = program.command('enroll').description('New nodes.')
  addEnrollApprove(enroll, session)
  addEnrolment(enroll, session)
  addRecover(program, session)
  addKms(program, session)
  addAudit(program, session)
  registerTpmCommands(program, session, SEAL_CONTEXT)
  registerPkcs11Commands(program, session, SEAL_CONTEXT)
  return program
}

/** `-seal=NAME`, as the RFC and OpenBao's own commands write it, is `--seal=NAME`. */
function withLongOptions(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--')
  return args.map((argument, index) =>
    end === -1 || index < end ? argument.replace(/^-(?=seal(=|$))/, '--') : argument,
  )
}

/** What people are told of arguments that no command has, in a line. */
function wrongUse(error: CommanderError, program: Command, args: readonly string[]): Told {
  const command = meantCommand(program, args)
  const names = command.commands.map(each => each.name()).join(', ')
  const what =
    error.code === NO_COMMAND
      ? `a command is missing, one of ${names}`
      : error.message
          .replace(/^error: /, '')
          .replaceAll('\n', ' ')
          .replace(/\.$/, '')
  return { code: 'SEALCTL_USAGE', message: `${what}; see ${fullName(command)} --help` }
}

/** Commander’s code for a command that only has others below it. */
const NO_COMMAND = 'commander.help'

/** The command that the arguments begin with. */
function meantCommand(program: Command, [name, ...rest]: readonly string[]): Command {
  const below = program.commands.find(each => each.name() === name)
  return below === undefined ? program : meantCommand(below, rest)
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`
}

interface Told {
  readonly code: string
  readonly message: string
}

/** What people are told: the agent's own code if it was the agent that refused. */
function toldOf(error: unknown): Told {
  const code = error instanceof ControlClientError ? (error.agentCode ?? error.code) : errorCodeOf(error)
  if (!(error instanceof Error)) return { code: 'Error', message: String(error) }
  return { code: code ?? error.name, message: error.message }
}
