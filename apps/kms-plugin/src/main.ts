import { Command } from 'commander'
import { programLog, runLogged } from '@sealwright/json-log'
import { parseKmsConfig } from '@sealwright/kms-config'
import { readConfigFile, runProgram, siblingProgram } from '@sealwright/program'
import packageJson from '../package.json' with { type: 'json' }
import { runPlugin } from './plugin.ts'

const DEFAULT_CONFIG = '/etc/sealwright/kms.yaml'

const EXIT_CODES_HELP = `
Exit codes: 0 stopped by a signal, 1 unexpected error, 2 configuration, 7 a folder is missing or not safe, or another
plugin or file is in the way.
Signals: SIGTERM and SIGINT end the plugin once the calls that are under way have been answered; SIGHUP makes it try seals again that
waited for an operator.`

let reload = (): void => undefined
// From the start: without a listener SIGHUP would end the plugin.
process.on('SIGHUP', () => {
  reload()
})

async function run(configPath: string, signal: AbortSignal): Promise<void> {
  const config = parseKmsConfig(await readConfigFile(configPath), configPath)
  const log = programLog()
  await runLogged(
    () =>
      runPlugin({
        ...{ config, log, signal, pkcs11Program: siblingProgram(import.meta.filename, 'pkcs11-process') },
        onReload: use => {
          reload = use
        },
      }),
    { log, signal, ends: 'plugin ends' },
  )
}

await runProgram({
  name: 'kms-plugin',
  exitCodes: {
    CONFIG_UNREADABLE: 2,
    CONFIG_SYNTAX: 2,
    CONFIG_INVALID: 2,
    CONFIG_UNSAFE: 2,
    KMS_STATE_OTHER_KEY: 2,
    TRANSIT_OPTIONS_INVALID: 2,
    SOCKET_PATH_TOO_LONG: 2,
    SOCKET_IN_USE: 7,
    SOCKET_FOLDER_UNUSABLE: 7,
    SOCKET_PATH_TAKEN: 7,
    SOCKET_OWNER_REFUSED: 7,
  },
  async main(signal) {
    await new Command('kms-plugin')
      .description('Kubernetes KMS v2 provider: encrypts the Secrets of kube-apiserver by a key that others keep.')
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
