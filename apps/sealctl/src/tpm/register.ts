import { type Command } from 'commander'
import { type EventReplacement } from '@sealwright/boot-log'
import { type SealContext, tpmSealOf } from '@sealwright/node-seals'
import { loadNodeConfig, readSecretFile } from '@sealwright/program'
import { type Secret } from '@sealwright/secret'
import { type PcrValue } from '@sealwright/tpm-wire'
import { type CommandResult, type Session } from '../command.ts'
import { type CommandContext, write } from '../context.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { hiddenInput } from '../terminal/hidden-input.ts'
import { add } from './add.ts'
import { collectPcrValue, collectReplacement, parsePcrs, parseReference } from './arguments.ts'
import { TpmCommandError } from './errors.ts'
import { listEvents } from './events.ts'
import { predict } from './predict.ts'
import { DEFAULT_EVENT_LOG } from './read-event-log.ts'
import { reseal } from './reseal.ts'
import { retire } from './retire.ts'
import { sign } from './sign.ts'
import { testPolicies } from './test-policies.ts'

const DEFAULT_CONFIG = '/etc/sealwright/node.yaml'
const MAX_PASSPHRASE_BYTES = 1_024
const EXIT_CODES_HELP = '\nExit codes: 0 done, 1 error, 2 the seal does not open (tpm test), 130 interrupted.'

interface NodeOptions {
  readonly config: string
  readonly seal: string
}

interface PredictOptions extends NodeOptions {
  readonly pcrs?: readonly number[]
  readonly pcr?: readonly PcrValue[]
  readonly eventLog: string
  readonly replaceEvent?: readonly EventReplacement[]
  readonly label: string
  readonly reference?: string
  readonly out: string
}

/**
 * Gives sealctl its commands for TPM seals that are bound to signed PCR policies. They work on the files and the TPM of this node and need no
 * agent.
 *
 * @param sealContext - for `reseal`, which opens by any seal of the node.
 */
export function registerTpmCommands(program: Command, session: Session, sealContext: SealContext): void {
  const { context } = session
  const { signal } = context
  const tpm = program
    .command('tpm')
    .description('The states of the machine in which a TPM seal opens: predicted, signed, tested, retired.')

  const command = (name: string, description: string, examples: readonly string[]): Command =>
    tpm
      .command(name)
      .description(description)
      .option('--json', 'print one JSON object, also for a failure', false)
      .addHelpText(
        'after',
        `\nExamples:\n${examples.map(line => `  sealctl tpm ${line}\n`).join('')}${EXIT_CODES_HELP}`,
      )
  const nodeCommand = (name: string, description: string, examples: readonly string[]): Command =>
    command(name, description, examples)
      .option('--config <path>', "the node's configuration", DEFAULT_CONFIG)
      .requiredOption('--seal <name>', 'which TPM seal')
  const finish = async (own: Command, { text, json, exitCode = EXIT_CODES.done }: CommandResult): Promise<void> => {
    const { json: wantsJson } = own.opts<{ readonly json: boolean }>()
    await write(context.stdout, wantsJson ? `${JSON.stringify(json)}\n` : text)
    session.exitCode = exitCode
  }

  const events = command('events', 'Shows what the firmware measured at this boot, and what makes up each PCR.', [
    'events --pcrs 7 --seal tpm',
    'events --event-log copied-log.bin',
  ])
    .option('--event-log <path>', 'event log of the firmware', DEFAULT_EVENT_LOG)
    .option('--pcrs <list>', 'PCRs, such as 4,7', parsePcrs)
    .option('--config <path>', "the node's configuration", DEFAULT_CONFIG)
    .option('--seal <name>', 'the TPM seal whose TPM is asked whether the log is complete')
  events.action(async () => {
    const options = events.opts<Partial<NodeOptions> & { eventLog: string; pcrs?: readonly number[]; config: string }>()
    const seal = options.seal === undefined ? undefined : tpmSealOf(await loadNodeConfig(options.config), options.seal)
    const pcrs = options.pcrs === undefined ? {} : { pcrs: options.pcrs }
    await finish(events, await listEvents({ eventLogPath: options.eventLog, seal, ...pcrs }, signal))
  })

  const predicting = nodeCommand('predict', 'Writes down the state that this machine shall be in, to be signed.', [
    'predict --seal tpm --pcrs 7 --label "firmware 1.21" --out next.json',
    'predict --seal tpm --pcr 11=0f… --label "linux 6.12.40" --out next.json',
    'predict --seal tpm --replace-event 7:3=0f… --label "new dbx" --out next.json',
  ])
    .option('--pcrs <list>', 'PCRs, such as 7,11; else those of the policies that this node has', parsePcrs)
    .option('--pcr <PCR=HEX>', 'a value to expect, may be repeated; 11:sha256=HEX too', collectPcrValue)
    .option('--event-log <path>', 'event log of the firmware', DEFAULT_EVENT_LOG)
    .option(
      '--replace-event <PCR:INDEX=HEX>',
      'a digest to expect in place of an event, may be repeated',
      collectReplacement,
    )
    .option('--reference <text>', 'another reference than the configured one, to change over to', parseReference)
    .requiredOption('--label <text>', 'what it is, for people')
    .requiredOption('--out <path>', 'the new file')
  predicting.action(async () => {
    const { config, seal, pcrs, pcr, eventLog, replaceEvent, reference, label, out } = predicting.opts<PredictOptions>()
    const input = {
      ...{ config: await loadNodeConfig(config), sealName: seal, label, outPath: out, now: context.now() },
      ...{ given: pcr ?? [], replacements: replaceEvent ?? [], eventLogPath: eventLog },
      ...(pcrs === undefined ? {} : { pcrs }),
      ...(reference === undefined ? {} : { reference }),
    }
    await finish(predicting, await predict(input, signal))
  })

  const signing = command(
    'sign',
    'Signs predicted states, on the machine that has the private key. Look at the values first.',
    ['sign next.json --key operator.pem --out signed.json'],
  )
    .argument('<file>', 'what predict wrote')
    .requiredOption('--key <path>', 'P-256 private key in PEM')
    .option('--passphrase-file <path>', 'its passphrase; else it is asked for')
    .requiredOption('--out <path>', 'the new file')
  signing.action(async (path: string) => {
    const { key, passphraseFile, out } = signing.opts<{ key: string; passphraseFile?: string; out: string }>()
    const askPassphrase = (): Promise<Secret> =>
      passphraseFile === undefined ? askForPassphrase(context) : readSecretFile(passphraseFile)
    await finish(signing, await sign({ path, keyPath: key, outPath: out, askPassphrase }))
  })

  const adding = nodeCommand('add', 'Adds signed states to those in which this node opens.', [
    'add signed.json --seal tpm',
  ])
  adding.argument('<file>', 'what sign wrote').action(async (path: string) => {
    const { config, seal } = adding.opts<NodeOptions>()
    await finish(adding, await add({ config: await loadNodeConfig(config), sealName: seal, path }))
  })

  const testing = nodeCommand('test', 'Checks the policies of this node, and has the TPM open its record for real.', [
    'test --seal tpm',
  ])
  testing.action(async () => {
    const { config, seal } = testing.opts<NodeOptions>()
    await finish(testing, await testPolicies({ config: await loadNodeConfig(config), sealName: seal }, signal))
  })

  const retiring = nodeCommand('retire', 'After a good boot: drops the policies from before it.', ['retire --seal tpm'])
  retiring
    .option('--pending', 'also drop those for boots to come: an update was called off', false)
    .action(async () => {
      const { config, seal, pending } = retiring.opts<NodeOptions & { pending: boolean }>()
      const input = { config: await loadNodeConfig(config), sealName: seal, dropPending: pending }
      await finish(retiring, await retire(input, signal))
    })

  const resealing = nodeCommand(
    'reseal',
    'Seals this node anew under the configured conditions, such as a new reference.',
    ['reseal --seal tpm'],
  )
  resealing
    .option('--policies <path>', 'what opens the old record, if the configuration names no policies any more')
    .action(async () => {
      const { config, seal, policies } = resealing.opts<NodeOptions & { policies?: string }>()
      const policiesFile = policies === undefined ? {} : { policiesFile: policies }
      const input = { config: await loadNodeConfig(config), sealName: seal, context: sealContext, ...policiesFile }
      await finish(resealing, await reseal(input, signal))
    })
}

async function askForPassphrase(context: CommandContext): Promise<Secret> {
  if (context.stdin.isTTY !== true) {
    throw new TpmCommandError(
      'TPM_COMMAND_KEY_UNUSABLE',
      'the key has a passphrase, and nobody can be asked here: give --passphrase-file',
    )
  }
  using input = hiddenInput(context, MAX_PASSPHRASE_BYTES)
  const passphrase = await input.ask('Passphrase of the signing key: ')
  if (passphrase !== undefined) return passphrase
  throw new TpmCommandError('TPM_COMMAND_KEY_UNUSABLE', 'the key has a passphrase, and none was given')
}
