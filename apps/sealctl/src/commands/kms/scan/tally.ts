import { type EtcdEntry } from '@sealwright/etcd'
import { type KeyFacts } from '../key-facts.ts'
import { type Finding, findingOf } from './finding.ts'
import { resourceOf } from './resource.ts'

/** Objects of one resource that are stored in the same way. */
export interface Group {
  readonly resource: string
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
  /** Encrypted in some way, and in no group: there are too many kinds. */
  readonly ungrouped: number
}

/** Counts one object after another. */
export interface TallyKeeper {
  readonly add: (entry: EtcdEntry) => void
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
      const resource = resourceOf(path)
      const finding = findingOf(value, key)
      const label = JSON.stringify([resource, finding])
      let group = groups.get(label)
      if (group === undefined) {
        if (groups.size >= MAX_GROUPS) {
          ungrouped += 1
          return
        }
        group = { resource, finding, objects: 0, examples: [] }
        groups.set(label, group)
      }
      group.objects += 1
      if (group.examples.length < maxExamples) group.examples.push(Buffer.from(path).toString())
    },
    tally: () => ({ groups: [...groups.values()], objects, ungrouped }),
  }
}
