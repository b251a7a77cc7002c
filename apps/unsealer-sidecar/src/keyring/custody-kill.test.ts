import { setTimeout as delay } from 'node:timers/promises'
import { type OpenKeyring } from '@sealwright/keyring'
import { openThrough, readStoredKeyring } from '@sealwright/node-seals'
import { temporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun } from '../testing/keyrings.ts'
import { startRotating } from '../testing/rotating.ts'
import { DEATH_POINTS, type DeathPoint, type RotatingAnswer } from '../testing/rotating-orders.ts'
import { testNode, textOf } from '../testing/test-node.ts'

/** Nodes that one kill hits, each with a store of its own. */
const NODES_PER_CHILD = 14
/** Children that kill themselves, this many at each point of a rotation of their first node. */
const KILLS_PER_POINT = 5
/** Children that are killed after some rotations and a random delay. */
const RANDOM_KILLS = 73
const KILLED_NODES = (DEATH_POINTS.length * KILLS_PER_POINT + RANDOM_KILLS) * NODES_PER_CHILD
/** Rotations that one child has said of all its nodes together before it is killed: fewer than this. */
const MOST_ROTATIONS = 6
/** Longest delay after that, so that it is killed anywhere in the next ones. */
const LONGEST_DELAY_MS = 100
/** So few that a keyring stays far from its limit of 256 generations. */
const ROUNDS_PER_STORE = 10
/** Children at once. */
const LANES = 2
const LIMIT_MS = 300_000
const DEVICE = 'a'
const { signal } = new AbortController()

/** `undefined`: after a random delay. */
function plannedKills(): (DeathPoint | undefined)[] {
  const kills = [
    ...DEATH_POINTS.flatMap(point => Array.from({ length: KILLS_PER_POINT }, () => point)),
    ...Array.from({ length: RANDOM_KILLS }, () => undefined),
  ]
  return kills
    .map(kill => ({ kill, place: Math.random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ kill }) => kill)
}

async function killOnce(
  storePaths: readonly string[],
  dieAt: DeathPoint | undefined,
  compileCachePath: string,
): Promise<readonly RotatingAnswer[]> {
  await using child = startRotating({ storePaths, device: DEVICE, dieAt }, compileCachePath)
  if (dieAt === undefined) {
    await child.untilRotated(Math.floor(Math.random() * MOST_ROTATIONS))
    await delay(Math.random() * LONGEST_DELAY_MS)
    child.kill()
  }
  const endedBy = await child.ended
  expect([child.answers.filter(({ kind }) => kind === 'failed'), child.stderr(), endedBy]).toEqual([[], '', 'SIGKILL'])
  expect(child.answers.some(({ kind }) => kind === 'ready')).toBe(true)
  return child.answers
}

interface Encrypted {
  readonly blob: Uint8Array
  readonly keyId: string
}

const encryptedIn = (answers: readonly RotatingAnswer[]): readonly Encrypted[] =>
  answers.flatMap(answer =>
    answer.kind === 'encrypted' ? [{ blob: Buffer.from(answer.blobHex, 'hex'), keyId: answer.keyId }] : [],
  )

const generationsIn = (answers: readonly RotatingAnswer[]): readonly number[] =>
  answers.flatMap(answer => (answer.kind === 'encrypted' || answer.kind === 'failed' ? [] : [answer.generations]))

/** Opens what the store has, as the node will at its next start. */
async function openStored(storePath: string): Promise<OpenKeyring> {
  return await openThrough(fakeSeal({ device: DEVICE }), await readStoredKeyring(storePath), signal)
}

/** A store, and what must be true of it. */
interface Watched {
  readonly storePath: string
  readonly blobs: Encrypted[]
  generations: number
}

async function watchedStore(storePath: string): Promise<Watched> {
  await using node = testNode({ storePath, seals: [] })
  await node.store((await begun([fakeSeal({ device: DEVICE })])).keyring)
  return { storePath, blobs: [], generations: 1 }
}

describe('kill -9 of a node that rotates', () => {
  it(
    'at random points and at every step loses no key that was in use',
    async () => {
      await using folder = await temporaryFolder()
      const kills = plannedKills()
      let killedNodes = 0
      let decrypted = 0
      let rotations = 0
      /** Nodes whose store was further on than what they had said. */
      let killedInBetween = 0

      async function check(watched: Watched, answers: readonly RotatingAnswer[]): Promise<void> {
        const own = answers.filter(({ storePath }) => storePath === watched.storePath)
        watched.blobs.push(...encryptedIn(own))
        using opened = await openStored(watched.storePath)
        const found = opened.keyring.generations.length
        const said = Math.max(watched.generations, ...generationsIn(own))
        expect([said, said + 1]).toContain(found)
        for (const { blob, keyId } of watched.blobs) expect(textOf(opened, blob)).toBe(keyId)
        rotations += found - watched.generations
        killedInBetween += found - said
        decrypted += watched.blobs.length
        watched.generations = found
        killedNodes += 1
      }

      async function lane(name: string): Promise<void> {
        try {
          for (let batch = 0; kills.length > 0; batch += 1) {
            const paths = Array.from({ length: NODES_PER_CHILD }, (_, node) => `${name}-${batch}-${node}`)
            const stores = await Promise.all(paths.map(path => watchedStore(folder.join(path))))
            for (const dieAt of kills.splice(0, ROUNDS_PER_STORE)) {
              const storePaths = stores.map(({ storePath }) => storePath)
              const answers = await killOnce(storePaths, dieAt, folder.join('cache'))
              for (const store of stores) await check(store, answers)
            }
          }
        } finally {
          kills.length = 0 // a failure in one lane ends the other
        }
      }

      const lanes = await Promise.allSettled(Array.from({ length: LANES }, (_, index) => lane(`lane${index}`)))
      expect(lanes.filter(({ status }) => status === 'rejected')).toEqual([])
      expect(killedNodes).toBe(KILLED_NODES)
      // Some two for each child, however busy the machine.
      expect(rotations).toBeGreaterThan(KILLED_NODES / 20)
      process.stdout.write(
        `kill -9: ${killedNodes} nodes killed, ${rotations} rotations, ${killedInBetween} of them killed before they could say so; ` +
          `${decrypted} blobs decrypted\n`,
      )
    },
    LIMIT_MS,
  )
})
