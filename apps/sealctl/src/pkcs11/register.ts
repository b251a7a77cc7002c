import { type Command, InvalidArgumentError, Option } from 'commander'
import { type SealContext } from '@sealwright/node-seals'
import { type CommandResult, parseWholeNumber, type Session } from '../command.ts'
import { localCommand } from '../local/local-command.ts'
import type * as Run from './run.ts'
import { type GenerateKeyOptions, type InitTokenOptions, type Pkcs11Context } from './run.ts'
import { type SourceOptions } from './source.ts'

const DEFAULT_TIMEOUT_SECONDS = 60
const MAX_TIMEOUT_SECONDS = 600
const VARIABLE = /^([A-Z_][A-Z0-9_]*)=(.*)$/s

/**
 * Gives sealctl its commands for tokens and keys of PKCS#11 modules. They need no agent, and, with --module, no configuration.
 *
 * @param sealContext - how the process of a module is started.
 */
export function registerPkcs11Commands(program: Command, session: Session, sealContext: SealContext): void {
  const pkcs11 = program.command('pkcs11').description('HSMs and other PKCS#11 tokens: what is there, and new keys.')
  const world: Pkcs11Context = { context: session.context, sealContext }

  const add = (
    name: string,
    { description, examples, action }: CommandParts,
    extend: (command: Command) => Command = command => command,
  ): void => {
    const command = extend(withSource(pkcs11.command(name).description(description)))
    localCommand(command, session, {
      examples: examples.map(line => `pkcs11 ${line}`),
      action: async () => action(await import('./run.ts'), command),
    })
  }

  add('tokens', {
    description: 'Shows the tokens in the slots of a module, blank ones too. Logs in nowhere.',
    examples: ['tokens --module /usr/lib/softhsm/libsofthsm2.so', 'tokens --seal hsm'],
    action: ({ tokens }, command) => tokens(command.opts<SourceOptions>(), world),
  })
  add(
    'keys',
    {
      description: 'Shows the secret and private keys on a token, and how they are protected.',
      examples: ['keys --seal hsm', 'keys --module /usr/lib/softhsm/libsofthsm2.so --token-label node-1'],
      action: ({ keys }, command) => keys(command.opts<SourceOptions>(), world),
    },
    withToken,
  )
  add(
    'generate-key',
    {
      description:
        'Makes a key for a seal on a token: AES-256 where the token does AES-GCM, else RSA. It never leaves the token; with it the way in is lost.',
      examples: [
        'generate-key --module /usr/lib/softhsm/libsofthsm2.so --token-label node-1 --label sealwright',
        'generate-key --seal hsm --label sealwright-2 --type rsa --bits 3072',
      ],
      action: ({ generateKey }, command) => generateKey(command.opts<GenerateKeyOptions>(), world),
    },
    command =>
      withToken(command)
        .requiredOption('--label <text>', 'CKA_LABEL of the new key')
        .addOption(new Option('--type <type>', 'left out: aes where the token offers AES-GCM').choices(['aes', 'rsa']))
        .option('--bits <count>', 'of an RSA key: 2048, 3072 or 4096', parseBits, 3072),
  )
  add(
    'init-token',
    {
      description:
        'Sets a blank token up: its label, and the PINs of its security officer and its user. Never one that is set up.',
      examples: [
        'init-token --module /usr/lib/softhsm/libsofthsm2.so --label node-1',
        'init-token --module /opt/hsm/pkcs11.so --label node-1 --so-pin-file so.pin --pin-file user.pin',
      ],
      action: ({ initToken }, command) => initToken(command.opts<InitTokenOptions>(), world),
    },
    command =>
      command
        .requiredOption('--label <text>', 'label of the token: 1 to 32 bytes, such as the name of this node')
        .option('--token-serial <text>', 'which blank token, where there are several')
        .option(
          '--so-pin-file <file>',
          'file with the new PIN of the security officer, mode 0600; else it is asked for',
        )
        .option('--pin-file <file>', 'file with the new PIN of the user, mode 0600; else it is asked for'),
  )
}

interface CommandParts {
  readonly description: string
  /** Command lines from the name of the command on. */
  readonly examples: readonly string[]
  readonly action: (run: typeof Run, command: Command) => Promise<CommandResult>
}

function withSource(command: Command): Command {
  return command
    .addOption(
      new Option('--seal <name>', 'a PKCS#11 seal of the configuration; left out: the only one').conflicts('module'),
    )
    .option('--module <file>', 'the vendor’s PKCS#11 module, where there is no seal yet')
    .option(
      '--module-env <NAME=VALUE>',
      'a variable for the module, which gets none of your own, may be repeated',
      collectVariable,
      [],
    )
    .option('--timeout <seconds>', 'how long the token may take', parseTimeout, DEFAULT_TIMEOUT_SECONDS)
}

function withToken(command: Command): Command {
  return command
    .addOption(new Option('--token-label <text>', 'which token; left out: that of the seal').conflicts('tokenSerial'))
    .option('--token-serial <text>', 'the same by its serial number')
    .option(
      '--pin-file <file>',
      'file with the user’s PIN, mode 0600; left out: that of the seal, else it is asked for',
    )
}

function collectVariable(
  text: string,
  before: readonly (readonly [string, string])[],
): readonly (readonly [string, string])[] {
  const [, name, value] = VARIABLE.exec(text) ?? []
  if (name === undefined || value === undefined) throw new InvalidArgumentError('It must be NAME=VALUE.')
  return [...before, [name, value]]
}

function parseBits(text: string): number {
  if (['2048', '3072', '4096'].includes(text)) return Number(text)
  throw new InvalidArgumentError('It must be 2048, 3072 or 4096.')
}

function parseTimeout(text: string): number {
  return parseWholeNumber(text, 1, MAX_TIMEOUT_SECONDS)
}
