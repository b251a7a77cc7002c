import { isDeepStrictEqual } from 'node:util'
import { isMap, isSeq, type YAMLMap, type YAMLSeq } from 'yaml'
import { KUBE_TIMEOUT_SECONDS } from '../files/encryption-config.ts'
import { KmsCommandError } from '../errors.ts'
import { type EncryptionFile, parseEncryptionFile } from './file.ts'
import { type EncryptionProvider, type EncryptionRule, parseGroupResource, rulesFor, writtenByOthers } from './rules.ts'

/** How far the way into the plugin has been gone: it decrypts; it encrypts too; nothing is read in clear any more. */
export type EncryptionStage = 'final' | 'first' | 'last'

export interface EncryptionChange {
  readonly stage: EncryptionStage
  /** Of the plugin. */
  readonly endpoint: string
  /** Undefined: the name that is there, else the usual one. */
  readonly name: string | undefined
  /** To be encrypted too, beside what is. */
  readonly resources: readonly string[]
}

export const DEFAULT_PROVIDER_NAME = 'sealwright'
const SECRETS = { resource: 'secrets', group: '', isApiObject: true }

/**
 * Changes an `EncryptionConfiguration` in place, and only this plugin in it: what another provider has encrypted is read as before. Nothing but
 * `identity` is ever taken away, from what the plugin encrypts, and as the last step.
 *
 * @param options.path - of the file, for messages.
 * @returns what it says then.
 * @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export function changeEncryptionFile(
  { document, rules }: EncryptionFile,
  change: EncryptionChange,
  path: string,
): { readonly text: string; readonly rules: readonly EncryptionRule[] } {
  const { stage, endpoint } = change
  const isOurs = (provider: EncryptionProvider): boolean => provider.kind === 'kms' && provider.endpoint === endpoint
  const before = document.toJS() as ConfigurationValue
  const list = seqAt(document.get('resources'))
  const name = nameFor(rules, change, isOurs, path)
  const targets = rules.flatMap(({ providers }, index) => (providers.some(isOurs) ? [index] : []))
  if (stage === 'final') {
    if (targets.length === 0) throw unusable(path, 'the plugin is in none of its entries: --final is the last step')
    for (const index of targets) assertFinal(rules[index], isOurs, path)
    for (const index of targets) removeIdentity(providersAt(list, index), rules[index])
  } else {
    if (targets.length === 0) targets.push(entryForSecrets(list, rules, document.createNode.bind(document)))
    const kms = { apiVersion: 'v2', name, endpoint, timeout: `${KUBE_TIMEOUT_SECONDS}s` }
    for (const index of targets) {
      const { items } = providersAt(list, index)
      const at = rules[index]?.providers.findIndex(isOurs) ?? -1
      if (stage === 'last' && at === 0)
        throw unusable(path, 'the plugin is the first provider: --last comes before that')
      const [ours] = at === -1 ? [document.createNode({ kms })] : items.splice(at, 1)
      if (ours !== undefined) items.splice(stage === 'first' ? 0 : items.length, 0, ours)
    }
    const [first = 0] = targets
    addResources(list, first, {
      rules,
      targets,
      asked: change.resources,
      path,
      create: document.createNode.bind(document),
    })
  }
  const text = document.toString({ lineWidth: 0 })
  const after = parseEncryptionFile(text, path)
  assertKept(before, after.document.toJS() as ConfigurationValue, endpoint)
  if (stage !== 'last') assertFirst(after.rules, isOurs, path)
  return { text, rules: after.rules }
}

/** What the file is known to be by now. */
interface ConfigurationValue {
  readonly resources: readonly {
    readonly resources: readonly string[]
    readonly providers: readonly (Readonly<Record<string, unknown>> & {
      readonly kms?: { readonly endpoint: string }
    })[]
  }[]
}

function nameFor(
  rules: readonly EncryptionRule[],
  { name }: EncryptionChange,
  isOurs: (provider: EncryptionProvider) => boolean,
  path: string,
): string {
  const named = rules.flatMap(({ providers }) => providers.filter(provider => provider.kind === 'kms'))
  const ours = named.filter(isOurs)
  const other = ours.find(({ apiVersion }) => apiVersion !== 'v2')
  if (other !== undefined)
    throw unusable(path, `${other.name} has apiVersion ${other.apiVersion}: this plugin speaks v2`)
  if (name !== undefined && ours.some(provider => provider.name !== name)) {
    throw unusable(
      path,
      `the plugin is called ${ours[0]?.name ?? ''} there, which stands before whatever is stored: it stays`,
    )
  }
  const wanted = name ?? DEFAULT_PROVIDER_NAME
  if (ours.length === 0 && named.some(provider => provider.name === wanted)) {
    throw unusable(path, `another plugin is called ${wanted}: give this one another --name, for good`)
  }
  return ours[0]?.name ?? wanted
}

function assertFinal(
  rule: EncryptionRule | undefined,
  isOurs: (provider: EncryptionProvider) => boolean,
  path: string,
): void {
  if (rule === undefined) return
  const [first] = rule.providers
  const resources = rule.resources.join(', ')
  if (first === undefined || !isOurs(first)) {
    throw unusable(path, `the plugin is not the first provider for ${resources}: --final is the last step`)
  }
  if (!rule.providers.some(({ kind }) => kind === 'identity')) {
    throw unusable(path, `there is no identity for ${resources}: it is final already`)
  }
}

function removeIdentity(providers: YAMLSeq, rule: EncryptionRule | undefined): void {
  providers.items = providers.items.filter((_item, index) => rule?.providers[index]?.kind !== 'identity')
}

/** The entry by which Secrets are stored: a new one if there is none, which reads what is in clear. */
function entryForSecrets(list: YAMLSeq, rules: readonly EncryptionRule[], create: (value: unknown) => unknown): number {
  const [rule] = rulesFor(rules, SECRETS)
  if (rule !== undefined) return rules.indexOf(rule)
  list.items.push(create({ resources: ['secrets'], providers: [{ identity: {} }] }))
  return list.items.length - 1
}

/** Adds resources to the entry of the plugin. They are still in clear. */
function addResources(
  list: YAMLSeq,
  index: number,
  {
    rules,
    targets,
    asked,
    path,
    create,
  }: {
    readonly rules: readonly EncryptionRule[]
    readonly targets: readonly number[]
    readonly asked: readonly string[]
    readonly path: string
    readonly create: (value: unknown) => unknown
  },
): void {
  for (const resource of asked) {
    const found = rulesFor(rules, { ...parseGroupResource(resource), isApiObject: true })
    if (found.length > 0) {
      if (found.every(rule => targets.includes(rules.indexOf(rule)))) continue
      throw unusable(path, `${resource} is in another entry than the plugin: bring the two together first, by hand`)
    }
    const resources = seqAt(entryAt(list, index).get('resources'))
    // A new entry has Secrets.
    if (resources.toJSON().includes(resource)) continue
    resources.items.push(create(resource))
    const providers = providersAt(list, index)
    if (!providers.items.some(item => isMap(item) && item.has('identity')))
      providers.items.push(create({ identity: {} }))
  }
}

/** The promise of this file, looked at once more on what is about to be written. */
function assertKept(before: ConfigurationValue, after: ConfigurationValue, endpoint: string): void {
  const withoutOurs = (rule: ConfigurationValue['resources'][number] | undefined) =>
    rule?.providers.filter(provider => provider.kms?.endpoint !== endpoint && !('identity' in provider))
  const isKept = before.resources.every((rule, index) => {
    const now = after.resources[index]
    const hasAll = rule.resources.every((resource, at) => now?.resources[at] === resource)
    return hasAll && isDeepStrictEqual(withoutOurs(rule), withoutOurs(now))
  })
  if (!isKept) throw new Error('another provider was changed: nothing is written')
}

function assertFirst(
  rules: readonly EncryptionRule[],
  isOurs: (provider: EncryptionProvider) => boolean,
  path: string,
): void {
  const [hidden] = writtenByOthers(rules, isOurs)
  if (hidden === undefined) return
  throw unusable(
    path,
    `${hidden} stands in an earlier entry too, whose provider encrypts: bring the two together first`,
  )
}

function entryAt(list: YAMLSeq, index: number): YAMLMap {
  const entry = list.items[index]
  if (isMap(entry)) return entry
  throw new Error('it was an entry when it was read')
}

function providersAt(list: YAMLSeq, index: number): YAMLSeq {
  return seqAt(entryAt(list, index).get('providers'))
}

function seqAt(node: unknown): YAMLSeq {
  if (isSeq(node)) return node
  throw new Error('it was a list when it was read')
}

function unusable(path: string, what: string): KmsCommandError {
  return new KmsCommandError('KMS_COMMAND_ENCRYPTION_CONFIG', `${path}: ${what}: nothing was written`)
}
