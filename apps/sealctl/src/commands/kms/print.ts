import { resolve } from 'node:path'
import { type Command } from 'commander'
import { type CommandResult, type Session } from '../../command.ts'
import { type KmsConfig } from '@sealwright/kms-config'
import { addEncryptionConfig } from './encryption-config.ts'
import { exampleOption, type PrintOptions } from './example-option.ts'
import { kmsCommand } from './kms-command.ts'

type ExampleArgument = Pick<PrintOptions, 'example'>

interface StaticPodArguments extends ExampleArgument {
  readonly image: string
  readonly name?: string
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
      'Prints the policy for the transit key of the configuration, and the commands that make key, policy and role.',
    )
    .addOption(exampleOption())
  kmsCommand<ExampleArgument>(command, session, {
    examples: [
      'policy openbao',
      'policy openbao --example',
      'policy openbao | bao policy write sealwright-kms-prod-eu-1 -',
    ],
    load: async () => {
      const [{ configOrExample, transitOf }, { renderPolicy, rulesOf }] = await Promise.all([
        import('./load-config.ts'),
        import('./files/policy.ts'),
      ])
      return async ({ options }): Promise<CommandResult> => {
        const config = await configOrExample(options)
        const backend = transitOf(config, options.config)
        const text = renderPolicy(config, backend, resolve(options.config))
        return { text, json: { policy: text, rules: rulesOf(backend) } }
      }
    },
  })
}

function addSystemdUnit(kms: Command, session: Session): void {
  const command = kms
    .command('systemd-unit')
    .description('Prints a systemd unit that starts the plugin before the kubelet, with next to no rights.')
    .addOption(exampleOption())
  kmsCommand<ExampleArgument>(command, session, {
    examples: ['systemd-unit > sealwright-kms.service', 'systemd-unit --example'],
    load: async () => {
      const { renderSystemdUnit } = await import('./files/systemd-unit.ts')
      return await printing<ExampleArgument>((config, _options, path) => renderSystemdUnit(config, path))
    },
  })
}

function addStaticPod(kms: Command, session: Session): void {
  const command = kms
    .command('static-pod')
    .description('Prints the manifest of a static pod, which the kubelet starts without an API server.')
    .requiredOption('--image <name@sha256:hex>', 'the plugin’s image, by its digest')
    .option('--name <name>', 'of the pod, for a second plugin on the same node; left out: sealwright-kms')
    .addOption(exampleOption())
  kmsCommand<StaticPodArguments>(command, session, {
    examples: ['static-pod --image registry.example.org/sealwright/kms-plugin@sha256:5f1c… > sealwright-kms.yaml'],
    load: async () => {
      const { renderStaticPod } = await import('./files/static-pod.ts')
      return await printing<StaticPodArguments>((config, { image, name }, configPath) =>
        renderStaticPod(config, { image, configPath, ...(name === undefined ? {} : { name }) }),
      )
    },
  })
}

/** What prints one file. It has the configuration by its whole path: whoever reads the file does not stand in this folder. */
async function printing<Options extends ExampleArgument>(
  render: (config: KmsConfig, options: Options, path: string) => string,
) {
  const { configOrExample } = await import('./load-config.ts')
  return async ({ options }: { readonly options: Options & PrintOptions }): Promise<CommandResult> => {
    const text = render(await configOrExample(options), options, resolve(options.config))
    return { text, json: { file: text } }
  }
}
