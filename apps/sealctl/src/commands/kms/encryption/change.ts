import { type Document } from 'yaml'
import { KUBE_TIMEOUT_SECONDS } from '../files/encryption-config.ts'
import {
  entriesOf,
  type Entry,
  hasIdentity,
  isIdentity,
  moveEntry,
  newEntry,
  providersAt,
  putEntries,
  resourcesAt,
  resourcesNow,
  shareResource,
  takeProviders,
  unusable,
} from './entries.ts'
import { type EncryptionFile } from './file.ts'
import { assertKept, type ChangedFile } from './kept.ts'
import { type EncryptionRule, type IsOurs, isWrittenBy, pluginAt, rulesOf, writtenByOthers } from './rules.ts'

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

/** What one change works on. */
interface Work {
  readonly document: Document
  /** In their order, which the change may change. */
  readonly entries: Entry[]
  /** Those of them that have the plugin, or shall get it. */
  readonly ours: Entry[]
  readonly isOurs: IsOurs
  readonly path: string
}

export const DEFAULT_PROVIDER_NAME = 'sealwright'

/**
 * Changes an `EncryptionConfiguration` in place, and only this plugin in it: what another provider has encrypted is read as before. Nothing but
 * `identity` is ever taken away, from what the plugin encrypts, and as the last step.
 *
 * A resource that comes later gets there in the same three steps, though the plugin encrypts others already. For that it stands in two entries:
 * kube-apiserver takes the providers of both, in the order of the entries, encrypts by the first of all and reads by each. Two entries with the
 * plugin cannot do that: the name of a kms provider may stand in a file once, and data is bound to it.
 *
 * @param path - of the file, for messages.
 * @returns what it says then.
 * @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export function changeEncryptionFile(file: EncryptionFile, change: EncryptionChange, path: string): ChangedFile {
  const { document, rules } = file
  const { stage, endpoint } = change
  const isOurs = pluginAt(endpoint)
  const former: unknown = document.toJS()
  const name = nameFor(rules, change, isOurs, path)
  const entries = entriesOf(document, rules)
  const ours = entries.filter(({ rule }) => rule.providers.some(isOurs))
  const work: Work = { document, entries, ours, isOurs, path }
  if (stage === 'final') removeIdentity(work, { rules, endpoint })
  else goTo(stage, work, { ...change, name })
  putEntries(document, entries)
  const changed = assertKept(document, former, { endpoint, path, isChangeOver: stage === 'first' })
  if (stage !== 'last') assertFirst(changed.rules, isOurs)
  return changed
}

function nameFor(
  rules: readonly EncryptionRule[],
  { name, stage }: EncryptionChange,
  isOurs: IsOurs,
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
  // Rather a configuration that is not in use any more than a second plugin, which is rare, and is told.
  const [beside] = named
  if (ours.length === 0 && name === undefined && beside !== undefined && stage !== 'final') {
    throw unusable(
      path,
      `another plugin is called ${beside.name} there, at ${beside.endpoint}: if that is yours, name its configuration with --config; if this one shall stand beside it, give it a --name, for good`,
    )
  }
  const wanted = name ?? DEFAULT_PROVIDER_NAME
  if (ours.length === 0 && named.some(provider => provider.name === wanted)) {
    throw unusable(path, `another plugin is called ${wanted}: give this one another --name, for good`)
  }
  return ours[0]?.name ?? wanted
}

/** Puts the plugin to its place, and what is asked for beside what it has. */
function goTo(
  stage: 'first' | 'last',
  work: Work,
  { name, endpoint, resources: asked }: EncryptionChange & { readonly name: string },
): void {
  const { document, entries, ours, isOurs, path } = work
  const isThere = ours.length > 0
  const isFirst = ours.some(({ rule: { providers } }) => providers[0] !== undefined && isOurs(providers[0]))
  if (!isThere) ours.push(entryForSecrets(work))
  const present = entries.map(({ rule }) => rule)
  const isForMore = asked.some(resource => !isWrittenBy(present, resource, isOurs))
  if (stage === 'last' && isFirst && !isForMore)
    throw unusable(path, 'the plugin is the first provider: --last comes before that')
  const added = asked.filter(resource => !hasResource(work, resource))
  const [late] = added
  if (stage === 'first' && isThere && late !== undefined) {
    throw unusable(
      path,
      `${late} is new there, and an API server that goes by a file without it could not read what this one would encrypt: first --last --resource ${late}, for every API server`,
    )
  }
  const kms = { apiVersion: 'v2', name, endpoint, timeout: `${KUBE_TIMEOUT_SECONDS}s` }
  for (const entry of ours) {
    const [first] = entry.rule.providers
    if (stage === 'last' && first !== undefined && isOurs(first)) continue
    const taken = takeProviders(entry, endpoint)
    const { items } = providersAt(entry)
    items.splice(
      stage === 'first' ? 0 : items.length,
      0,
      ...(taken.length > 0 ? taken : [document.createNode({ kms })]),
    )
  }
  addResources(stage, work, added)
  if (stage === 'last') return
  for (const entry of ours) {
    const others = entries.filter(other => !ours.includes(other) && shareResource(other, entry))
    moveEntry(entries, entry, 'before', others)
  }
}

/** The entry by which Secrets are stored: a new one if there is none, which reads what is in clear. */
function entryForSecrets({ document, entries }: Work): Entry {
  const [rule] = rulesOf(
    entries.map(entry => entry.rule),
    'secrets',
  )
  const found = entries.find(entry => entry.rule === rule)
  if (found !== undefined) return found
  const entry = newEntry(document, ['secrets'])
  entries.push(entry)
  return entry
}

/** Whether the plugin has a resource already, if only to decrypt. */
function hasResource({ entries, ours, path }: Work, resource: string): boolean {
  const rules = entries.map(({ rule }) => rule)
  const found = rulesOf(rules, resource)
  if (ours.some(({ rule }) => found.includes(rule))) return true
  if (found.every(rule => rule.resources.includes(resource))) return false
  throw unusable(path, `${resource} is in another entry than the plugin, by a wildcard: name it there by itself first`)
}

/** Adds resources to the entry of the plugin: they are stored as they have been, until the plugin is put first. */
function addResources(stage: 'first' | 'last', work: Work, added: readonly string[]): void {
  const { document, entries, ours, path } = work
  const [entry] = ours
  if (entry === undefined || added.length === 0) return
  const others = entries.filter(
    other => !ours.includes(other) && added.some(resource => other.rule.resources.includes(resource)),
  )
  const inClear = added.filter(resource => !others.some(({ rule }) => rule.resources.includes(resource)))
  for (const resource of added) resourcesAt(entry).items.push(document.createNode(resource))
  const isReadInClear = stage === 'last' ? isIdentity(providersAt(entry).items[0]) : hasIdentity(entry)
  if (inClear.length > 0 && !isReadInClear) {
    const wildcard = inClear.find(resource => resource.startsWith('*'))
    if (wildcard !== undefined)
      throw unusable(path, `${wildcard} cannot be added later: name the resources that it stands for one by one`)
    const own = newEntry(document, inClear)
    entries.splice(entries.indexOf(entry), 0, own)
  }
  if (stage === 'last') moveEntry(entries, entry, 'behind', others)
}

/** Takes `identity` away from whatever the plugin encrypts. */
function removeIdentity(
  { entries, ours, isOurs, path }: Work,
  { rules, endpoint }: { readonly rules: readonly EncryptionRule[]; readonly endpoint: string },
): void {
  if (ours.length === 0)
    throw unusable(path, `the plugin at ${endpoint} is in none of its entries: --final is the last step`)
  const covered = ours.flatMap(entry => resourcesNow(entry))
  const late = covered.filter(resource => !isWrittenBy(rules, resource, isOurs))
  if (late.length > 0)
    throw unusable(path, `the plugin is not the first provider for ${late.join(', ')}: --final is the last step`)
  const withIdentity = entries.filter(
    entry => hasIdentity(entry) && (ours.includes(entry) || ours.some(own => shareResource(own, entry))),
  )
  if (withIdentity.length === 0)
    throw unusable(path, `there is no identity for ${covered.join(', ')}: it is final already`)
  for (const entry of withIdentity) {
    const foreign = resourcesNow(entry).filter(resource => !covered.includes(resource))
    if (foreign.length > 0) {
      throw unusable(
        path,
        `identity stands there for ${foreign.join(', ')}, which the plugin does not encrypt, and in the same entry for what it does: make two entries of it first`,
      )
    }
    const providers = providersAt(entry)
    providers.items = providers.items.filter(item => !isIdentity(item))
    if (providers.items.length === 0) entries.splice(entries.indexOf(entry), 1)
  }
}

/** That whatever the plugin has is encrypted by it. */
function assertFirst(rules: readonly EncryptionRule[], isOurs: IsOurs): void {
  const [hidden] = writtenByOthers(rules, isOurs)
  if (hidden !== undefined) throw new Error(`${hidden} would be encrypted by another provider: nothing is written`)
}
