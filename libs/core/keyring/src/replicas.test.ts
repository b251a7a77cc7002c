import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { hex } from '@sealwright/bytes'
import { encodeKeyring } from './codec.ts'
import { type Keyring } from './keyring.ts'
import { canOpen, Cluster, decrypts, givesUp, type Merge, type Step, STEP_KINDS } from './testing/replicas.ts'
import { opened } from './testing/samples.ts'

/** Each history takes a tenth of a second: more of them only with SLOW=1. */
const numRuns = process.env.SLOW === '1' ? 500 : 25
const timeoutMs = numRuns * 3_000

const encoded = (keyring: Keyring) => toHex(encodeKeyring(keyring))

const histories: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({ kind: fc.constantFrom(...STEP_KINDS), on: fc.nat(11), choice: fc.nat(11) }),
  { minLength: 4, maxLength: 16, size: 'max' },
)

/** The first of two that were prepared became active on node 1, after node 0 had let a member in that only the other one leads in. */
const overtaken: readonly Step[] = [
  { kind: 'prepare', on: 0, choice: 0 },
  { kind: 'rotate', on: 0, choice: 0 },
  { kind: 'retire', on: 0, choice: 0 },
  { kind: 'enrol', on: 0, choice: 0 },
  { kind: 'activate', on: 1, choice: 0 },
]
/** Ids are random, and decide which of two siblings is the current one: so more than once. */
const examples = Array.from({ length: 8 }, (): [readonly Step[]] => [overtaken])

/** The cluster after a history and one last exchange. */
async function after(history: readonly Step[]): Promise<Cluster> {
  const cluster = await Cluster.begin()
  for (const step of history) await cluster.run(step)
  await cluster.converge()
  return cluster
}

/** The sides of a merge that have a say in it. */
function heard({ before: [mine, theirs] }: Merge): readonly Keyring[] {
  return [...(givesUp(theirs, mine) ? [] : [mine]), ...(givesUp(mine, theirs) ? [] : [theirs])]
}

/** Whoever could open a side, and was not removed, opens the result. */
async function assertNoMemberLost({ members }: Cluster, merge: Merge): Promise<void> {
  const removed = merge.after.members.filter(({ state }) => state === 'removed').map(({ memberId }) => hex(memberId))
  for (const member of members) {
    if (removed.includes(hex(member.memberId))) continue
    const could = await Promise.all(heard(merge).map(side => canOpen(side, member)))
    expect(await canOpen(merge.after, member)).toBe(could.includes(true))
  }
}

describe('nodes that change the keyring on their own and tell one another', () => {
  it(
    'end up with the same bytes, and make the same of two keyrings whoever merges and however often',
    async () => {
      await fc.assert(
        fc.asyncProperty(histories, async history => {
          const { replicas, merges } = await after(history)
          expect(new Set(replicas.map(({ keyring }) => encoded(keyring))).size).toBe(1)
          for (const { after: merged, mirrored, isSettled } of merges) {
            expect(encoded(mirrored)).toBe(encoded(merged))
            expect(isSettled).toBe(true)
          }
        }),
        { numRuns, examples },
      )
    },
    timeoutMs,
  )

  it(
    'lose no generation, no member and no blob, but for what was removed, retired or given up',
    async () => {
      await fc.assert(
        fc.asyncProperty(histories, async history => {
          const cluster = await after(history)
          for (const merge of cluster.merges) {
            const kept = merge.after.generations.map(({ id }) => hex(id))
            const known = heard(merge).flatMap(({ generations }) => generations.map(({ id }) => hex(id)))
            expect(new Set(kept)).toEqual(new Set(known))
            await assertNoMemberLost(cluster, merge)
          }
          for (const { keyring, member } of cluster.replicas) {
            const open = await opened(keyring, member)
            const listed = new Set(keyring.generations.map(({ id }) => hex(id)))
            for (const blob of cluster.blobs) expect(decrypts(open, blob)).toBe(listed.has(blob.generationId))
          }
        }),
        { numRuns, examples },
      )
    },
    timeoutMs,
  )
})
