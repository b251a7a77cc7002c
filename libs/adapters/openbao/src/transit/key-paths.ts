import { encodePath } from '../kv.ts'

/** What can be asked of a key. */
export type KeyVerb = 'encrypt' | 'decrypt' | 'keys'

/**
 * Paths of one key, below `/v1/`.
 *
 * @throws {@link OpenBaoError} `OPENBAO_REQUEST_INVALID` for names that cannot stand in a path.
 */
export function keyPaths(mountPath: string, keyName: string): (verb: KeyVerb) => string {
  const [mount, key] = [encodePath(mountPath), encodePath(keyName)]
  return verb => `${mount}/${verb}/${key}`
}
