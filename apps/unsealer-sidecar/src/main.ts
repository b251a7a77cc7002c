import { Command } from 'commander'
import { loadNodeConfig, runProgram, siblingProgram } from '@sealwright/program'
import packageJson from '../package.json' with { type: 'json' }
import { runAgent } from './agent.ts'
import { programLog, runLogged } from '@sealwright/json-log'

const DEFAULT_CONFIG = '/etc/sealwright/node.yaml'

const EXIT_CODES_HELP = `
Exit codes: 0 stopped by a signal, 1 unexpected error, 2 configuration, 7 a folder is missing, or
another agent or file is in the way.
Signals: SIGTERM and SIGINT end the agent, OpenBao stays unsealed; SIGHUP makes it read the seals of the configuration anew, and
try those again that waited for an operator.`

let reload = (): void => undefined
// From the start: without a listener SIGHUP would end the agent.
process.on('SIGHUP', () => {
  reload()
})

async function run(configPath: string, signal: AbortSignal): Promise<void> {
  const config = await loadNodeConfig(configPath)
  const log = programLog()
  await runLogged(
    () =>
      runAgent({
        config,
        loadConfig: () => loadNodeConfig(configPath),
        version: packageJson.version,
        pkcs11Program: siblingProgram(import.meta.filename, 'pkcs11-process'),
        log,
        signal,
        onReload: use => {
          reload = use
        },
      }),
    { log, signal, ends: 'agent ends' },
  )
}

await runProgram({
  name: 'unsealer-sidecar',
  exitCodes: {
    CONFIG_UNREADABLE: 2,
    CONFIG_SYNTAX: 2,
    CONFIG_INVALID: 2,
    CONFIG_UNSAFE: 2,
    SEAL_PLUGIN_PATH_INVALID: 2,
    SOCKET_PATH_TOO_LONG: 2,
    STORE_IN_USE: 7,
    SOCKET_IN_USE: 7,
    SOCKET_FOLDER_UNUSABLE: 7,
    SOCKET_PATH_TAKEN: 7,
    SEAL_PLUGIN_DIRECTORY_IN_USE: 7,
    SEAL_PLUGIN_DIRECTORY_UNSAFE: 7,
    SEAL_PLUGIN_FOREIGN_FILE: 7,
    SEAL_PLUGIN_IO_FAILED: 7,
    STATIC_DELIVERY_NAME_INVALID: 2,
    STATIC_DELIVERY_FOLDER_UNUSABLE: 7,
    STATIC_DELIVERY_FOREIGN_FILE: 7,
    STATIC_DELIVERY_MKFIFO_FAILED: 7,
    STATIC_DELIVERY_IO_FAILED: 7,
  },
  async main(signal) {
    await new Command('unsealer-sidecar')
      .description(
        'The seal agent: opens the keyring through the seals of this node and serves OpenBao behind the connector.',
      )
      .version(packageJson.version)
      .option('--config <file>', 'configuration of this node', DEFAULT_CONFIG)
      .showHelpAfterError()
      .addHelpText('after', EXIT_CODES_HELP)
      .action(async ({ config }: { readonly config: string }) => {
        await run(config, signal)
      })
      .parseAsync()
    return 0
  },
})
