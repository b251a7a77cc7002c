import { hostname } from 'node:os'
import { Command } from 'commander'
import { configuredSeals } from '@sealwright/node-seals'
import { loadNodeConfig, runProgram, siblingProgram } from '@sealwright/program'
import { randomKeyBytes } from '@sealwright/secret'
import packageJson from '../package.json' with { type: 'json' }
import { bootstrap } from './bootstrap.ts'
import { placeConnector } from './connector.ts'
import { EXIT_CODES, EXIT_CODES_HELP, NOT_PROVEN } from './exit-codes.ts'
import { readHandedKey } from './handed-key.ts'
import { labelWarnings } from './label-warnings.ts'
import { type RunReport, toJson, toText } from './report.ts'
import { unprovenSeals } from './try-seals.ts'

const DEFAULT_CONFIG = '/etc/sealwright/node.yaml'
const DEFAULT_SEAL_KEY = '/run/secrets/bootstrap'

interface Options {
  readonly config: string
  readonly sealKey: string
  readonly connector?: string
  readonly replaceConnector: boolean
  readonly label?: string
  readonly newTpm: boolean
  readonly reseal: boolean
  readonly allowUnproven: boolean
  readonly tightenModes: boolean
  readonly json: boolean
}

async function run(options: Options, signal: AbortSignal): Promise<RunReport> {
  const config = await loadNodeConfig(options.config)
  await using resources = new AsyncDisposableStack()
  const seals = configuredSeals(config, { pkcs11Program: siblingProgram(import.meta.filename, 'pkcs11-process') })
  for (const seal of seals) resources.use(seal)
  const handedKey = await readHandedKey(options.sealKey)
  try {
    // First: should a file be in its way, then nothing else has been done yet.
    const placing = { programDirectory: import.meta.dirname, replace: options.replaceConnector }
    const connector = options.connector === undefined ? undefined : await placeConnector(options.connector, placing)
    const report = await bootstrap({
      storePath: config.store,
      tightenModes: options.tightenModes,
      seals: seals.filter(seal => !seal.disabled),
      handedKey,
      handedKeyPath: options.sealKey,
      permissions: { newTpm: options.newTpm, reseal: options.reseal },
      label: options.label ?? hostname(),
      now: Date.now,
      randomBytes: randomKeyBytes,
      signal,
    })
    const hasSealKey = handedKey !== undefined
    const warnings = [...(handedKey?.warnings ?? []), ...labelWarnings(report, options.label)]
    return { storePath: config.store, bootstrap: report, hasSealKey, connector, warnings }
  } finally {
    handedKey?.sealKey.wipe()
  }
}

await runProgram({
  name: 'bootstrap-init',
  exitCodes: EXIT_CODES,
  async main(signal) {
    let exitCode = 0
    await new Command('bootstrap-init')
      .description(
        "Wraps a cluster's seal key with the seals of this node, proves that they open it, and writes the seal store.\nRuns again harmlessly, and never replaces a way in that works.",
      )
      .version(packageJson.version)
      .option('--config <file>', 'configuration of this node', DEFAULT_CONFIG)
      .option(
        '--seal-key <path>',
        'the 32-byte seal key in base64: a file, or a folder with seal-key and maybe key-id',
        DEFAULT_SEAL_KEY,
      )
      .option('--connector <folder>', "OpenBao's plugin folder, to put the connector into")
      .option('--replace-connector', "also over one of another version: its hash is in OpenBao's configuration", false)
      .option('--label <text>', "OpenBao's node_id: how people and rotations know this node; left out: the host's name")
      .option('--new-tpm', 'enrol a TPM that was cleared or is another one than before', false)
      .option(
        '--reseal',
        'make anew what does not open since PCRs changed or a sealed key was damaged; tries PINs',
        false,
      )
      .option(
        '--allow-unproven',
        'end with 0 also if a seal was not proven to open: a late TPM must not block a start',
        false,
      )
      .option(
        '--tighten-modes',
        "take the bits of group and others away from the store's folder and files, instead of refusing them",
        false,
      )
      .option('--json', 'print one JSON object', false)
      .showHelpAfterError()
      .addHelpText('after', EXIT_CODES_HELP)
      .action(async (options: Options) => {
        const report = await run(options, signal)
        process.stdout.write(options.json ? toJson(report) : toText(report))
        const isProven = unprovenSeals(report.bootstrap.seals).length === 0
        exitCode = isProven || options.allowUnproven ? 0 : NOT_PROVEN
      })
      .parseAsync()
    return exitCode
  },
})
