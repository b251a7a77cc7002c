import { type Command } from 'commander'
import { collect, type CommandResult, type Session } from '../../command.ts'
import { type KmsConfig } from '@sealwright/kms-config'
import { kmsCommand } from './kms-command.ts'

interface EncryptionConfigArguments {
  readonly name: string
  readonly resource: readonly string[]
  readonly final: boolean
}

/** Adds the commands that print a file for this configuration. They ask nobody. */
export function addKmsFiles(kms: Command, session: Session): void {
  addPolicy(kms, session)
  addEncryptionConfig(kms, session)
  addSystemdUnit(kms, session)
  addStaticPod(kms, session)
}

function addPolicy(kms: Command, session: Session): void {
  const command = kms
    .command('policy')
    .description('What the plugin may do in the servers that it asks.')
    .command('openbao')
    .description(
      'Prints the policy for the transit key of the configuration, and the commands that make key, policy and role. Without a configuration: an example.',
    )
  kmsCommand<object>(command, session, {
    examples: ['policy openbao', 'policy openbao | bao policy write sealwright-kms-prod-eu-1 -'],
    load: async () => {
      const [{ configOrExample, transitOf }, { renderPolicy, rulesOf }] = await Promise.all([
        import('./load-config.ts'),
        import('./files/policy.ts'),
      ])
      return async ({ options: { config: path } }): Promise<CommandResult> => {
        const config = await configOrExample(path)
        const backend = transitOf(config, path)
        return {
          text: renderPolicy(config, backend),
          json: { policy: renderPolicy(config, backend), rules: rulesOf(backend) },
        }
      }
    },
  })
}

function addEncryptionConfig(kms: Command, session: Session): void {
  const command = kms
    .command('encryption-config')
    .description('Prints the EncryptionConfiguration of kube-apiserver for this plugin.')
    .option(
      '--name <name>',
      'the provider’s name: it stands before whatever is stored, and never changes',
      'sealwright',
    )
    .option('--resource <name>', 'beside secrets; may be repeated', collect, [])
    .option('--final', 'without identity: when nothing is stored in clear any more', false)
  kmsCommand<EncryptionConfigArguments>(command, session, {
    examples: ['encryption-config', 'encryption-config --resource configmaps --final'],
    load: async () => {
      const { renderEncryptionConfig } = await import('./files/encryption-config.ts')
      return await printing<EncryptionConfigArguments>((config, { name, resource: resources, final: isFinal }) =>
        renderEncryptionConfig(config, { name, resources, isFinal }),
      )
    },
  })
}

function addSystemdUnit(kms: Command, session: Session): void {
  const command = kms
    .command('systemd-unit')
    .description('Prints a systemd unit that starts the plugin before the kubelet, with next to no rights.')
  kmsCommand<object>(command, session, {
    examples: ['systemd-unit > /etc/systemd/system/sealwright-kms.service'],
    load: async () => {
      const { renderSystemdUnit } = await import('./files/systemd-unit.ts')
      return await printing<object>((config, _options, path) => renderSystemdUnit(config, path))
    },
  })
}

function addStaticPod(kms: Command, session: Session): void {
  const command = kms
    .command('static-pod')
    .description('Prints the manifest of a static pod, which the kubelet starts without an API server.')
    .requiredOption('--image <name@sha256:hex>', 'the plugin’s image, by its digest')
  kmsCommand<{ readonly image: string }>(command, session, {
    examples: ['static-pod --image registry.example.org/sealwright/kms-plugin@sha256:5f1c… > sealwright-kms.yaml'],
    load: async () => {
      const { renderStaticPod } = await import('./files/static-pod.ts')
      return await printing<{ readonly image: string }>((config, { image }, configPath) =>
        renderStaticPod(config, { image, configPath }),
      )
    },
  })
}

/** What prints one file for the configuration, or for an example of one. */
async function printing<Options>(render: (config: KmsConfig, options: Options, path: string) => string) {
  const { configOrExample } = await import('./load-config.ts')
  return async ({ options }: { readonly options: Options & { readonly config: string } }): Promise<CommandResult> => {
    const text = render(await configOrExample(options.config), options, options.config)
    return { text, json: { file: text } }
  }
}
