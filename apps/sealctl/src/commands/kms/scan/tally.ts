import { type EtcdEntry } from '@sealwright/etcd'
import { parsePlainObject } from '@sealwright/kube-storage'
import { type ResourceSeen } from '../encryption/rules.ts'
import { type KeyFacts } from '../key-facts.ts'
import { type Finding, findingOf } from './finding.ts'
import { type KeyedResource, keyedResource, labelOf } from './resource.ts'

/** Objects of one resource that are stored in the same way. */
export interface Group {
  /** As people call it. */
  readonly resource: string
  /** As an `EncryptionConfiguration` may name it. */
  readonly seen: ResourceSeen
  readonly finding: Finding
  readonly objects: number
  /** The first keys of them. */
  readonly examples: readonly string[]
}

/** What a scan has found. Memory does not grow with the number of objects. */
export interface Tally {
  /** By how many kinds there are; those beyond the limit are only counted in `ungrouped`. */
  readonly groups: readonly Group[]
  readonly objects: number
  /** In no group: there are too many kinds. */
  readonly ungrouped: number
}

/** Counts one object after another. */
export interface TallyKeeper {
  /** @returns how many there are now. */
  readonly add: (entry: EtcdEntry) => number
  readonly tally: () => Tally
}

/** Of a cluster with hundreds of custom resources and dozens of versions of its key. */
const MAX_GROUPS = 20_000

/** @param options.examples - how many keys of each group are kept. */
export function openTally(key: KeyFacts, { examples: maxExamples }: { readonly examples: number }): TallyKeeper {
  const groups = new Map<string, { -readonly [K in keyof Group]: Group[K] } & { examples: string[] }>()
  let objects = 0
  let ungrouped = 0
  return {
    add: ({ key: path, value }) => {
      objects += 1
      const finding = findingOf(value, key)
      const keyed = keyedResource(path)
      const resource = labelOf(keyed)
      const seen = seenOf(keyed, finding, value)
      const label = JSON.stringify([resource, seen.group ?? null, seen.isApiObject, finding])
      let group = groups.get(label)
      if (group === undefined) {
        if (groups.size >= MAX_GROUPS) {
          ungrouped += 1
          return objects
        }
        group = { resource, seen, finding, objects: 0, examples: [] }
        groups.set(label, group)
      }
      group.objects += 1
      if (group.examples.length < maxExamples) group.examples.push(Buffer.from(path).toString())
      return objects
    },
    tally: () => ({ groups: [...groups.values()], objects, ungrouped }),
  }
}

/** What is encrypted is an object of the API; of what is in clear its type says so, and its group. */
function seenOf({ resource, group, isOfApi }: KeyedResource, { kind }: Finding, value: Uint8Array): ResourceSeen {
  if (!isOfApi || kind !== 'plaintext') return { resource, group, isApiObject: isOfApi }
  const plain = parsePlainObject(value)
  return plain.kind === 'other'
    ? { resource, group, isApiObject: false }
    : { resource, group: group ?? plain.group, isApiObject: true }
}
