import { type CommandResult } from '../../command.ts'
import { SealctlError } from '../../errors.ts'
import { openNewFile } from '../../files.ts'
import { plain } from '../../render/plain.ts'
import { type EncryptionConfigArguments } from './encryption-config.ts'
import { changeEncryptionFile, DEFAULT_PROVIDER_NAME, type EncryptionStage } from './encryption/change.ts'
import { parseEncryptionFile, readEncryptionFile } from './encryption/file.ts'
import { type EncryptionProvider, type EncryptionRule } from './encryption/rules.ts'
import { assertProviderName, normalResources, renderEncryptionConfig } from './files/encryption-config.ts'
import { type KmsCall } from './kms-command.ts'
import { configOrExample, loadKmsConfig } from './load-config.ts'

/** `sealctl kms encryption-config`. */
export async function runEncryptionConfig({ options }: KmsCall<EncryptionConfigArguments>): Promise<CommandResult> {
  return options.from === undefined ? await make(options) : await change(options, options.from)
}

type Options = KmsCall<EncryptionConfigArguments>['options']

/** A new one. There is no key in it. */
async function make(options: Options): Promise<CommandResult> {
  const { output, name = DEFAULT_PROVIDER_NAME, resource: resources, last: isLast, final: isFinal } = options
  if (isFinal) throw usage('--final is a change of the present file: name it with --from')
  const config = await configOrExample(options)
  const text = renderEncryptionConfig(config, { name, resources, stage: isLast ? 'last' : 'first' })
  if (output === undefined) return { text, json: { file: text } }
  await writeText(output, text)
  return written(output, parseEncryptionFile(text, output).rules)
}

/** The present one with the plugin in it. What is in it is shown nowhere. */
async function change(options: Options, from: string): Promise<CommandResult> {
  const { output, name, last: isLast, final: isFinal } = options
  if (output === undefined) throw usage('what --from names may have keys in it: name a new file with --output')
  if (isFinal && options.resource.length > 0)
    throw usage('what a --resource has is in clear still: first without --final')
  if (name !== undefined) assertProviderName(name)
  const resources = normalResources(options.resource)
  const { socket } = await loadKmsConfig(options.config)
  const stage: EncryptionStage = isFinal ? 'final' : isLast ? 'last' : 'first'
  const file = await readEncryptionFile(from)
  const endpoint = `unix://${socket.path}`
  const { text, rules } = changeEncryptionFile(file, { stage, endpoint, name, resources }, from)
  await writeText(output, text)
  return written(output, rules, endpoint)
}

async function writeText(path: string, text: string): Promise<void> {
  await using file = await openNewFile(path)
  const bytes = Buffer.from(text)
  try {
    await file.fill(bytes)
  } finally {
    bytes.fill(0)
  }
}

function written(output: string, rules: readonly EncryptionRule[], endpoint?: string): CommandResult {
  const others = rules
    .filter(({ providers }) => providers.some(provider => provider.kind === 'kms' && provider.endpoint === endpoint))
    .flatMap(({ providers, resources }) => {
      const left = providers.filter(
        each => each.kind !== 'identity' && !(each.kind === 'kms' && each.endpoint === endpoint),
      )
      return left.map(each => `${nameOf(each)} for ${resources.join(', ')}`)
    })
  return {
    text: [
      ...rules.map(
        ({ resources, providers }) => plain(`${resources.join(', ')}: ${providers.map(nameOf).join(', then ')}`) + '\n',
      ),
      ...others.map(
        other =>
          plain(`${other} stays: what it has encrypted is read by it alone, until all of that is written anew`) + '\n',
      ),
      plain(
        `${output} is new, and nobody uses it yet: keep a copy of the present file, then put this one in its place by mv`,
      ) + '\n',
    ].join(''),
    json: { output, entries: rules.map(({ resources, providers }) => ({ resources, providers })), others },
  }
}

function nameOf(provider: EncryptionProvider): string {
  return provider.kind === 'kms' ? `kms ${provider.name}` : provider.kind
}

function usage(message: string): SealctlError {
  return new SealctlError('SEALCTL_USAGE', message)
}
