import { type Command, Option } from 'commander'
import { collect, type Session } from '../../command.ts'
import { LEAVING_STEPS, type LeavingStep } from './encryption/leave.ts'
import { exampleOption, type PrintOptions } from './example-option.ts'
import { kmsCommand } from './kms-command.ts'

export interface EncryptionConfigArguments extends Pick<PrintOptions, 'example'> {
  readonly from?: string
  readonly output?: string
  readonly name?: string
  readonly resource: readonly string[]
  readonly last: boolean
  readonly final: boolean
  readonly leave?: LeavingStep
}

/** Adds the command that makes, or changes, what tells kube-apiserver of the plugin. */
export function addEncryptionConfig(kms: Command, session: Session): void {
  const command = kms
    .command('encryption-config')
    .description(
      'Makes the EncryptionConfiguration of kube-apiserver for this plugin, or puts the plugin into the present one. Never writes over a file.',
    )
    .option(
      '--from <file>',
      'the present EncryptionConfiguration: its resources, names and other providers stay. Needs --output, for it may have keys in it',
    )
    .option('--output <file>', 'a new file, mode 0600; left out: it is printed')
    .option('--name <name>', 'the provider’s name: it stands before whatever is stored, and never changes')
    .option(
      '--resource <name>',
      'beside what is encrypted already, and Secrets; may be repeated. Into a file with the plugin it comes by --last first',
      collect,
      [],
    )
    .option('--last', 'the plugin as the last provider: it decrypts, and encrypts nothing yet', false)
    .addOption(
      new Option('--final', 'take identity away: when nothing is stored in clear any more; with --from')
        .conflicts(['last'])
        .default(false),
    )
    .addOption(
      new Option(
        '--leave <step>',
        'the way out: prepare, another provider beside the plugin, identity if there is none; decrypt, the plugin only reads, and what is new may be in clear; remove, it is gone. With --from',
      )
        .choices(LEAVING_STEPS)
        .conflicts(['last', 'final', 'name', 'example']),
    )
    .addOption(exampleOption().conflicts('from'))
  kmsCommand<EncryptionConfigArguments>(command, session, {
    examples: [
      'encryption-config --last --output /etc/kubernetes/encryption/config.yaml',
      'encryption-config --from /etc/kubernetes/encryption/config.yaml --output /etc/kubernetes/encryption/config.new',
      'encryption-config --last --resource configmaps --from /etc/kubernetes/encryption/config.yaml --output /etc/kubernetes/encryption/config.new',
      'encryption-config --final --from /etc/kubernetes/encryption/config.yaml --output /etc/kubernetes/encryption/config.new',
    ],
    load: async () => (await import('./run-encryption-config.ts')).runEncryptionConfig,
  })
}
