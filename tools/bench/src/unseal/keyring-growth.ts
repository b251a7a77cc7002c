import { randomFillSync } from 'node:crypto'
import {
  addRecord,
  createKeyring,
  decodeKeyring,
  encodeKeyring,
  findSeal,
  type Keyring,
  KEY_BYTES,
  matchSealKey,
  OpenKeyring,
  openKeyring,
} from '@sealwright/keyring'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import { median } from '../figure.ts'
import { type Growth } from '../growth.ts'
import { type MemberShape, memoryMember, type MemoryMember, REAL_SHAPES } from './memory-member.ts'

const NODE_COUNTS = [1, 10, 100]
/** The code must be compiled before the smallest keyring is measured: all others are compared with it. */
const WARM_UP_MS = 1_000
/** The clusters are measured in turns, so that what else the machine does hits all of them. */
const TURNS = 10
const TURN_MS = 100

const { signal } = new AbortController()
const surroundings = {
  signal,
  now: Date.now,
  randomBytes: (count: number) => randomFillSync(allocateKeyBytes(count)),
}

/**
 * How a keyring grows in which each node has a member of its own in each of four seals: its bytes, and the times to encode it, decode
 * it (the lineage is checked), open it by one member (the MAC is checked), and merge it with one that has a newer record.
 */
export async function measureKeyringGrowth(): Promise<readonly Growth[]> {
  const clusters = await Promise.all(NODE_COUNTS.map(sampleCluster))
  const bytes = clusters.map(({ nodes, bytes: { byteLength } }) => ({ nodes, value: byteLength }))
  const timed: Growth[] = []
  for (const [name, run] of Object.entries(RUNS)) {
    const [smallest] = clusters
    if (smallest !== undefined) await runFor(smallest, run, WARM_UP_MS)
    const durationsMs = clusters.map(() => new Array<number>())
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [index, cluster] of clusters.entries()) {
        durationsMs[index]?.push(...(await runFor(cluster, run, TURN_MS)))
      }
    }
    const points = clusters.map(({ nodes }, index) => ({ nodes, value: median(durationsMs[index] ?? []) }))
    timed.push({ name, unit: 'ms', points })
  }
  return [{ name: 'size', unit: 'bytes', points: bytes }, ...timed]
}

const RUNS: Readonly<Record<string, (cluster: SampleCluster) => unknown>> = {
  encode: ({ keyring }) => encodeKeyring(keyring),
  decode: ({ bytes }) => decodeKeyring(bytes),
  open: async ({ keyring, member, sealId }) => {
    using open = await openKeyring({ keyring, sealId, member, signal })
    return open.keyId
  },
  merge: ({ open, newer }) => {
    const merged = open.mergedWith(newer)
    if (merged === open) throw new Error('the other keyring brought nothing new')
    return merged
  },
}

/** A keyring to be measured, and what is needed for that. */
interface SampleCluster {
  readonly nodes: number
  readonly keyring: Keyring
  readonly bytes: Uint8Array
  /** A member of the seal `tpm`, of the last node. */
  readonly member: MemoryMember
  readonly sealId: Uint8Array
  readonly open: OpenKeyring
  /** The same keyring, but for one record that was made anew. */
  readonly newer: Keyring
}

async function sampleCluster(nodes: number): Promise<SampleCluster> {
  using sealKey = new Secret(surroundings.randomBytes(KEY_BYTES))
  const tpms: MemoryMember[] = []
  let keyring: Keyring | undefined
  for (let node = 1; node <= nodes; node++) {
    for (const shape of REAL_SHAPES) {
      const member = memoryMember(shape)
      if (shape.sealType === 'tpm') tpms.push(member)
      keyring = await withRecord(keyring, sealKey, { shape, member, label: `node-${node}` })
    }
  }
  const member = tpms.at(-1)
  const [shape] = REAL_SHAPES
  if (keyring === undefined || member === undefined || shape === undefined) throw new RangeError('a cluster has nodes')
  const sealId = findSeal(keyring, shape.sealType)?.sealId
  if (sealId === undefined) throw new Error(`the keyring has no seal ${shape.sealType}`)
  using sealKeys = matchSealKey({ keyring, sealKey })
  return {
    ...{ nodes, keyring, member, sealId, bytes: encodeKeyring(keyring), open: OpenKeyring.from(keyring, sealKeys) },
    newer: await withRecord(keyring, sealKey, { shape, member, label: `node-${nodes}` }),
  }
}

async function withRecord(
  keyring: Keyring | undefined,
  sealKey: Secret,
  {
    shape: { sealType, method },
    member,
    label,
  }: { readonly shape: MemberShape; readonly member: MemoryMember; readonly label: string },
): Promise<Keyring> {
  const { wrappingKey, data } = member
  const record = { ...surroundings, ...{ sealName: sealType, method, member, label, wrappingKey, data } }
  if (keyring === undefined) return await createKeyring({ ...record, sealKey })
  using sealKeys = matchSealKey({ keyring, sealKey })
  return await addRecord({ ...record, keyring, sealKeys })
}

/** Durations in milliseconds, one for each run; at least one. */
async function runFor(
  cluster: SampleCluster,
  run: (cluster: SampleCluster) => unknown,
  durationMs: number,
): Promise<readonly number[]> {
  const tookMs: number[] = []
  const endsAtMs = performance.now() + durationMs
  do {
    const startedAtMs = performance.now()
    await run(cluster)
    tookMs.push(performance.now() - startedAtMs)
  } while (performance.now() < endsAtMs)
  return tookMs
}
