import { type CommandResult } from '../../command.ts'
import { type CommandContext, write } from '../../context.ts'
import { usageError } from '../../errors.ts'
import { openNewFile } from '../../files.ts'
import { plain } from '../../render/plain.ts'
import { type EncryptionConfigArguments } from './encryption-config.ts'
import { changeEncryptionFile, DEFAULT_PROVIDER_NAME, type EncryptionStage } from './encryption/change.ts'
import { parseEncryptionFile, readEncryptionFile } from './encryption/file.ts'
import { leaveEncryptionFile } from './encryption/leave.ts'
import { type EncryptionProvider, type EncryptionRule, rulesOf } from './encryption/rules.ts'
import { assertProviderName, normalResources, renderEncryptionConfig } from './files/encryption-config.ts'
import { type KmsCall } from './kms-command.ts'
import { configOrExample, loadKmsConfig } from './load-config.ts'

/** `sealctl kms encryption-config`. */
export async function runEncryptionConfig(call: KmsCall<EncryptionConfigArguments>): Promise<CommandResult> {
  const { options, context } = call
  const { isHasty, ...result } = options.from === undefined ? await make(options) : await change(options, options.from)
  return isHasty ? await warned(result, context) : result
}

type Options = KmsCall<EncryptionConfigArguments>['options']

interface Made extends CommandResult {
  /** Whether the plugin encrypts at once, by the first file that it is in. */
  readonly isHasty: boolean
}

const HASTY =
  'the plugin encrypts at once by this file: every API server must have had it as --last before, or those that have not cannot read what the others write'

/** On stderr, so that it is seen where the file is piped on. */
async function warned(result: CommandResult, { stderr }: CommandContext): Promise<CommandResult> {
  await write(stderr, `warning: ${HASTY}\n`)
  return { ...result, json: { ...result.json, warnings: [HASTY] } }
}

/** A new one. There is no key in it. */
async function make(options: Options): Promise<Made> {
  const { output, name = DEFAULT_PROVIDER_NAME, resource: resources, last: isLast, final: isFinal, leave } = options
  if (isFinal || leave !== undefined)
    throw usageError(`${isFinal ? '--final' : '--leave'} is a change of the present file: name it with --from`)
  const config = await configOrExample(options)
  const text = renderEncryptionConfig(config, { name, resources, stage: isLast ? 'last' : 'first' })
  const isHasty = !isLast
  if (output === undefined) return { text, json: { file: text }, isHasty }
  await writeText(output, text)
  return { ...written(output, parseEncryptionFile(text, output).rules), isHasty }
}

/** The present one with the plugin in it. What is in it is shown nowhere. */
async function change(options: Options, from: string): Promise<Made> {
  const { output, name, last: isLast, final: isFinal, leave } = options
  if (output === undefined) throw usageError('what --from names may have keys in it: name a new file with --output')
  if (isFinal && options.resource.length > 0)
    throw usageError('what a --resource has is in clear still: first without --final')
  if (leave !== undefined && options.resource.length > 0)
    throw usageError('--leave is for whatever the plugin encrypts: leave --resource out')
  if (name !== undefined) assertProviderName(name)
  const resources = normalResources(options.resource)
  const { socket } = await loadKmsConfig(options.config)
  const stage: EncryptionStage = isFinal ? 'final' : isLast ? 'last' : 'first'
  const file = await readEncryptionFile(from)
  const endpoint = `unix://${socket.path}`
  const isThere = file.rules.some(({ providers }) =>
    providers.some(provider => provider.kind === 'kms' && provider.endpoint === endpoint),
  )
  const { text, rules } =
    leave === undefined
      ? changeEncryptionFile(file, { stage, endpoint, name, resources }, from)
      : leaveEncryptionFile(file, { step: leave, endpoint }, from)
  await writeText(output, text)
  return { ...written(output, rules, endpoint), isHasty: stage === 'first' && leave === undefined && !isThere }
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
      ...inTwoEntries(rules).map(line => plain(line) + '\n'),
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

/** What kube-apiserver makes of a resource that stands in more than one entry. */
function inTwoEntries(rules: readonly EncryptionRule[]): readonly string[] {
  const resources = [...new Set(rules.flatMap(rule => rule.resources))]
  return resources.flatMap(resource => {
    const found = rulesOf(rules, resource)
    if (found.length < 2) return []
    const providers = found.flatMap(rule => rule.providers.map(nameOf))
    return [`${resource} stands in ${found.length} entries, which add up: ${providers.join(', then ')}`]
  })
}

function nameOf(provider: EncryptionProvider): string {
  return provider.kind === 'kms' ? `kms ${provider.name}` : provider.kind
}
