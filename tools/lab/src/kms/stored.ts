import { parseStoredValue } from '@sealwright/kube-storage'
import { etcdKeyOf } from '@sealwright/testing-kms'
import { type Etcd } from '@sealwright/testing-kubernetes'
import { LabError } from '../errors.ts'

/** What etcd holds of a Secret of the namespace `default`. */
export async function storedSecret(etcd: Etcd, name: string): Promise<Uint8Array> {
  const stored = await etcd.get(etcdKeyOf(name))
  if (stored === null) throw new LabError(`etcd has no Secret ${name}`)
  return stored
}

/** The key id by which etcd holds a Secret. */
export async function keyIdOf(etcd: Etcd, name: string): Promise<string> {
  const stored = parseStoredValue(await storedSecret(etcd, name))
  if (stored.kind !== 'kms-v2') throw new LabError(`Secret ${name} is stored ${stored.kind}`)
  return stored.object.keyId
}

/** A stored value of which one bit of what the plugin encrypted was changed. */
export function withBitFlipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const stored = parseStoredValue(copy)
  if (stored.kind !== 'kms-v2')
    throw new LabError(`there is nothing of the plugin in a value that is stored ${stored.kind}`)
  // A view of the copy.
  const { encryptedDekSource: source } = stored.object
  source[source.length - 1] = (source.at(-1) ?? 0) ^ 1
  return copy
}
