import { type Document, isMap, isSeq, type YAMLMap, type YAMLSeq } from 'yaml'
import { KmsCommandError } from '../errors.ts'
import { type EncryptionRule, parseGroupResource } from './rules.ts'

/** One entry of the list in a file: what can be written anew, and what it said when it was read. */
export interface Entry {
  readonly node: YAMLMap
  readonly rule: EncryptionRule
}

/** The entries of a file, in their order. */
export function entriesOf(document: Document, rules: readonly EncryptionRule[]): Entry[] {
  const { items } = seqAt(document.get('resources'))
  return rules.map((rule, index) => {
    const node = items[index]
    if (!isMap(node)) throw new Error('it was an entry when it was read')
    return { node, rule }
  })
}

/** Writes the entries back, in their present order. */
export function putEntries(document: Document, entries: readonly Entry[]): void {
  seqAt(document.get('resources')).items = entries.map(({ node }) => node)
}

/** An entry that no file has had yet. */
export function newEntry(document: Document, resources: readonly string[]): Entry {
  const node = document.createNode({ resources, providers: [{ identity: {} }] })
  if (!isMap(node)) throw new Error('an object is a map')
  return { node, rule: { resources, providers: [{ kind: 'identity' }] } }
}

export function providersAt({ node }: Entry): YAMLSeq {
  return seqAt(node.get('providers'))
}

export function resourcesAt({ node }: Entry): YAMLSeq {
  return seqAt(node.get('resources'))
}

/** What an entry says by now. */
export function resourcesNow(entry: Entry): readonly string[] {
  return resourcesAt(entry).toJSON() as readonly string[]
}

export function hasIdentity(entry: Entry): boolean {
  return providersAt(entry).items.some(isIdentity)
}

export function isIdentity(item: unknown): boolean {
  return isMap(item) && item.has('identity')
}

/** Takes the providers with this endpoint out of an entry, in their order: one plugin may stand there by two names. */
export function takeProviders(entry: Entry, endpoint: string): readonly unknown[] {
  const providers = providersAt(entry)
  const isTaken = (item: unknown): boolean => isMap(item) && item.getIn(['kms', 'endpoint']) === endpoint
  const taken = providers.items.filter(isTaken)
  providers.items = providers.items.filter(item => !isTaken(item))
  return taken
}

/** Whether two entries are for the same resource: kube-apiserver then takes the providers of both, in the order of the entries. */
export function shareResource(one: Entry, other: Entry): boolean {
  const known = new Set(resourcesNow(one).map(nameOf))
  return resourcesNow(other).some(resource => known.has(nameOf(resource)))
}

/** Moves an entry before, or behind, all the others that are given. It stays where it is if it stands so already. */
export function moveEntry(entries: Entry[], entry: Entry, to: 'before' | 'behind', others: readonly Entry[]): void {
  const places = others.map(other => entries.indexOf(other))
  const from = entries.indexOf(entry)
  const place = to === 'before' ? Math.min(...places) : Math.max(...places)
  if (others.length === 0 || (to === 'before' ? from < place : from > place)) return
  entries.splice(from, 1)
  // Behind: the one that it was before has moved by one.
  entries.splice(place, 0, entry)
}

export function unusable(path: string, what: string): KmsCommandError {
  return new KmsCommandError('KMS_COMMAND_ENCRYPTION_CONFIG', `${path}: ${what}: nothing was written`)
}

/** `secrets.` is `secrets`. */
function nameOf(text: string): string {
  const { resource, group } = parseGroupResource(text)
  return `${resource}.${group}`
}

function seqAt(node: unknown): YAMLSeq {
  if (isSeq(node)) return node
  throw new Error('it was a list when it was read')
}
