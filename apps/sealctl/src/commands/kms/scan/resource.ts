/** So long is no name of a resource of Kubernetes. */
const MAX_CHARS = 253

/**
 * The resource of a key of etcd, as `kubectl` calls it: `secrets`, `ingresses.networking.k8s.io`. Group and resource stand behind the API
 * server's prefix (k8s.io/apiserver, `DefaultStorageFactory.ResourcePrefix`); what is stored in another way gets some name, too.
 */
export function resourceOf(key: Uint8Array): string {
  const [root = '', ...segments] = Buffer.from(key).toString().split('/')
  // `/registry/…`, or a key of something else, such as `compact_rev_key`.
  if (root !== '') return short(root)
  const [, first = '', second = ''] = segments
  return short(first.includes('.') && second !== '' ? `${second}.${first}` : first || (segments[0] ?? ''))
}

function short(name: string): string {
  return name.slice(0, MAX_CHARS)
}
