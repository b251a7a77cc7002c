/** A resource of the API, or a wildcard in place of either part. */
export interface GroupResource {
  /** Empty: the core group. */
  readonly group: string
  readonly resource: string
}

export type ProviderKind = 'aescbc' | 'aesgcm' | 'identity' | 'kms' | 'secretbox'

/** One provider of an `EncryptionConfiguration`, without any key. */
export type EncryptionProvider =
  | { readonly kind: Exclude<ProviderKind, 'kms'> }
  | {
      readonly kind: 'kms'
      readonly name: string
      readonly endpoint: string
      readonly apiVersion: string
      /** As it is written, such as `3s`. */
      readonly timeout?: string | undefined
    }

/** One entry of its list: these providers for these resources. */
export interface EncryptionRule {
  readonly resources: readonly string[]
  readonly providers: readonly EncryptionProvider[]
}

/** Stored by API servers for themselves, always in clear. */
const WITHOUT_API: readonly string[] = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations']
const ANY = '*'

/** As kube-apiserver takes it apart: `deployments.apps`, `*.` for the core group (k8s.io/apimachinery, `ParseGroupResource`). */
export function parseGroupResource(text: string): GroupResource {
  const dot = text.indexOf('.')
  return dot === -1 ? { resource: text, group: '' } : { resource: text.slice(0, dot), group: text.slice(dot + 1) }
}

/**
 * What kube-apiserver refuses in a configuration; undefined: nothing of what is looked at here, which is resources and names of providers.
 *
 * @see k8s.io/apiserver v0.36.3, pkg/apis/apiserver/validation/validation_encryption.go; and `getTransformerOverridesAndKMSPluginProbes` in
 * pkg/server/options/encryptionconfig/config.go for what one entry of the list takes from another one.
 */
export function problemOfRules(rules: readonly EncryptionRule[]): string | undefined {
  const names = new Set<string>()
  const earlier: GroupResource[] = []
  for (const { resources, providers } of rules) {
    if (resources.length === 0) return 'an entry has no resources'
    if (providers.length === 0) return `the entry for ${resources.join(', ')} has no providers`
    const problem = problemOfResources(resources)
    if (problem !== undefined) return problem
    for (const resource of resources) {
      const here = parseGroupResource(resource)
      if (earlier.some(each => isWildcard(each) && covers(each, here))) {
        return `${resource} comes behind a wildcard of an earlier entry, which has it already`
      }
      earlier.push(here)
    }
    for (const provider of providers) {
      if (provider.kind !== 'kms') continue
      if (names.has(provider.name)) return `two kms providers are called ${provider.name}`
      names.add(provider.name)
    }
  }
  return undefined
}

/** The same of the resources of one entry. */
export function problemOfResources(resources: readonly string[]): string | undefined {
  for (const text of resources) {
    const { group, resource } = parseGroupResource(text)
    if (text !== text.toLowerCase()) return `${text} has capital letters`
    if (text === ANY) return "* is none: it is '*.' for the core group, '*.*' for everything"
    if (WITHOUT_API.includes(text)) return `${text} has no API, and cannot be encrypted`
    if (group === 'events.k8s.io') return `${text}: events are stored as those of the core group: name events`
    if (group === 'extensions') return `${text}: the group extensions is gone`
    if (group === ANY && resource !== ANY) return `${text}: a resource cannot be named across all groups`
  }
  const parsed = resources.map(text => ({ text, ...parseGroupResource(text) }))
  for (const [index, one] of parsed.entries()) {
    for (const other of parsed.slice(index + 1)) {
      if (one.group === other.group && one.resource === other.resource) return `${other.text} stands twice in one list`
      const wide = [one, other].find(each => isWildcard(each) && covers(each, each === one ? other : one))
      if (wide !== undefined) return `${wide.text} is all of ${(wide === one ? other : one).text} too: leave that out`
    }
  }
  return undefined
}

function isWildcard({ resource }: GroupResource): boolean {
  return resource === ANY
}

/** Whether a wildcard has a resource, or another wildcard, in it. */
function covers(wildcard: GroupResource, { group }: GroupResource): boolean {
  return wildcard.group === ANY || wildcard.group === group
}

/** What is known of the resource of an object that lies in etcd. */
export interface ResourceSeen {
  readonly resource: string
  /** Undefined: its key does not say, and it is encrypted. */
  readonly group: string | undefined
  /** Not so: nothing that the API knows, unless it is named. */
  readonly isApiObject: boolean
}

/**
 * The entries by which kube-apiserver stores a resource, in their order: its own, else those for its group, else those for everything. Where
 * the group is not known: all that may be the ones.
 */
export function rulesFor<Rule extends Pick<EncryptionRule, 'resources'>>(
  rules: readonly Rule[],
  seen: ResourceSeen,
): readonly Rule[] {
  const { group, resource, isApiObject } = seen
  const withA = (test: (named: GroupResource) => boolean): readonly Rule[] =>
    rules.filter(({ resources }) => resources.some(text => test(parseGroupResource(text))))
  const exact = withA(named => named.resource === resource && (group === undefined || named.group === group))
  if (exact.length > 0 || !isApiObject) return exact
  const ofGroup = withA(
    named => named.resource === ANY && named.group !== ANY && (group === undefined || named.group === group),
  )
  if (ofGroup.length > 0 && group !== undefined) return ofGroup
  return [...ofGroup, ...withA(named => named.resource === ANY && named.group === ANY)]
}

/** As {@link rulesFor}, for a resource as an entry names it. */
export function rulesOf<Rule extends Pick<EncryptionRule, 'resources'>>(
  rules: readonly Rule[],
  resource: string,
): readonly Rule[] {
  return rulesFor(rules, { ...parseGroupResource(resource), isApiObject: true })
}

/** By what kube-apiserver stores a resource: the first provider of its entries; undefined: in clear, since nothing is said of it. */
function writerOf(rules: readonly EncryptionRule[], resource: string): EncryptionProvider | undefined {
  return rulesOf(rules, resource)[0]?.providers[0]
}

export type KmsEntryProvider = Extract<EncryptionProvider, { kind: 'kms' }>
export type IsOurs = (provider: EncryptionProvider) => provider is KmsEntryProvider

/** Whether a provider is the plugin at this endpoint, whatever its name. */
export function pluginAt(endpoint: string): IsOurs {
  return (provider): provider is KmsEntryProvider => provider.kind === 'kms' && provider.endpoint === endpoint
}

/** Whether the plugin encrypts what is new of a resource. */
export function isWrittenBy(rules: readonly EncryptionRule[], resource: string, isOurs: IsOurs): boolean {
  const writer = writerOf(rules, resource)
  return writer !== undefined && isOurs(writer)
}

/** What stands in the entries of one plugin, and is encrypted by another provider: its own entry comes first, or a provider in it. */
export function writtenByOthers(rules: readonly EncryptionRule[], isOurs: IsOurs): readonly string[] {
  return rules
    .filter(({ providers }) => providers.some(isOurs))
    .flatMap(({ resources }) => resources)
    .filter(resource => !isWrittenBy(rules, resource, isOurs))
}
