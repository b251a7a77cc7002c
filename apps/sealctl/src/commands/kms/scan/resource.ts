/** So long is no name of a resource of Kubernetes. */
const MAX_CHARS = 253

/** What API servers keep in another place than under its name (k8s.io/kubernetes, `SpecialDefaultResourcePrefixes`). */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['controllers', 'replicationcontrollers'],
  ['ingress', 'ingresses'],
  ['minions', 'nodes'],
])

/** What API servers keep for themselves, and never encrypt (k8s.io/kubernetes, pkg/controlplane, pkg/registry/core/rest). */
const WITHOUT_API: ReadonlySet<string> = new Set(['masterleases', 'peerserverleases', 'ranges'])

/** What the key of an object says of it. */
export interface KeyedResource {
  /** Without its group. */
  readonly resource: string
  /** Undefined: the key does not say, as with all that Kubernetes itself brings. */
  readonly group: string | undefined
  /** Whether it is under the prefix of an API server, and none of what those keep for themselves. */
  readonly isOfApi: boolean
}

/**
 * The resource of a key of etcd. Group and resource stand behind the API server's prefix (k8s.io/apiserver,
 * `DefaultStorageFactory.ResourcePrefix`); what is stored in another way gets some name, too.
 */
export function keyedResource(key: Uint8Array): KeyedResource {
  const [root = '', ...segments] = Buffer.from(key).toString().split('/')
  // `/registry/…`, or a key of something else, such as `compact_rev_key`.
  if (root !== '') return { resource: short(root), group: undefined, isOfApi: false }
  const [, first = '', second = ''] = segments
  if (first.includes('.') && second !== '') return { resource: short(second), group: short(first), isOfApi: true }
  if (first === 'services' && second === 'endpoints') return { resource: second, group: '', isOfApi: true }
  const resource = NAMES.get(first) ?? (first || (segments[0] ?? ''))
  return { resource: short(resource), group: undefined, isOfApi: first !== '' && !WITHOUT_API.has(first) }
}

/** As `kubectl` calls it, as far as the key says: `secrets`, `things.example.org`. */
export function labelOf({ resource, group }: KeyedResource): string {
  return group === undefined || group === '' ? resource : `${resource}.${group}`
}

function short(name: string): string {
  return name.slice(0, MAX_CHARS)
}
