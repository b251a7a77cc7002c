import fc from 'fast-check'
import { adoptKey } from './adopt-key.ts'
import { activeVersion, CONVINCING_DOUBTS, isSameVersion, type KeyLife, type RotationPolicy } from './key-life.ts'
import { parseCiphertext } from './ciphertext.ts'
import { KmsError } from './errors.ts'
import { lookAtKey } from './look.ts'
import { kmsV2Service } from './service-of-backend.ts'
import { type EncryptResponse } from './service.ts'
import { encodeState, parseState } from './state.ts'
import { type MemoryKey, memoryBackend } from './testing/memory-backend.ts'
import { CALL, CLUSTER_ID, codeOf, seed } from './testing/test-service.ts'

// One node over one key, to which everything happens that should not. What Encrypt hands out stands for what lies in etcd.

const POLICY: RotationPolicy = { stableObservations: 2, activationDelayMs: 100 }
const DOWN = new KmsError('KMS_BACKEND_UNAVAILABLE', 'told to')

interface HandedOut extends EncryptResponse {
  readonly version: number
  /** The bytes of the key that made it. */
  readonly material: Uint8Array
  /** Made by another key than the last look saw, in the moments before the next one. */
  readonly isBlind: boolean
  /** The node has lost its memory since. */
  isForgotten: boolean
}

class World {
  nowMs = 1_000_000
  turn = 0
  life: KeyLife | null = null
  hasLooked = false
  readonly handedOut: HandedOut[] = []
  readonly backups: MemoryKey[] = []
  /** As the last look without trouble saw them. */
  seen: ReadonlyMap<number, Uint8Array> = new Map()
  #isDown = false
  readonly backend = memoryBackend({ provider: 'transit', nowMs: () => this.nowMs })
  readonly service = kmsV2Service({
    backend: this.backend,
    clusterId: CLUSTER_ID,
    life: () => this.life,
    hasLooked: () => this.hasLooked,
    illness: () => null,
  })

  get active(): number {
    return this.life === null ? 0 : (activeVersion(this.life)?.version ?? 0)
  }

  materialOf(version: number): Uint8Array | undefined {
    return this.backend.backUp().versions.find(each => each.version === version)?.key
  }

  async look(): Promise<void> {
    const options = { backend: this.backend, clusterId: CLUSTER_ID, policy: POLICY, nowMs: this.nowMs }
    try {
      const found = await lookAtKey(
        this.life,
        { ...options, turn: (this.turn += 1), isFirst: !this.hasLooked, newPlaintext: () => seed() },
        CALL,
      )
      this.life = found.life
      if (found.failure !== null || found.isDoubtful) return
      this.hasLooked = true
      if (found.life.trouble === null) {
        this.seen = new Map(this.backend.backUp().versions.map(({ version, key }) => [version, key]))
        this.#assertNamesOneKey()
      }
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
    }
  }

  async encrypt(): Promise<void> {
    try {
      const made = await this.service.encrypt({ plaintext: seed(), uid: 'e' }, CALL)
      const { version } = parseCiphertext(made.ciphertext)
      const material = this.materialOf(version)
      if (material === undefined) throw new Error('it was encrypted by nothing')
      const isBlind = this.seen.get(version) !== material
      this.handedOut.push({ ...made, version, material, isBlind, isForgotten: false })
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
    }
  }

  /** The delay goes by, and it is looked at as often as needed. */
  async settle(): Promise<void> {
    this.nowMs += POLICY.activationDelayMs
    for (let count = 0; count < CONVINCING_DOUBTS; count += 1) await this.look()
  }

  setDown(isDown: boolean): void {
    this.#isDown = isDown
    this.backend.failWith(isDown ? DOWN : null)
  }

  /** Writes down what is known, ends, and begins again. */
  restart(adopts = false): void {
    this.hasLooked = false
    if (this.life === null) return
    const state = parseState(encodeState({ provider: 'transit', clusterId: CLUSTER_ID, life: this.life }))
    const { life } = adopts ? parseState(encodeState(adoptKey(state))) : state
    this.life = { ...life, doubts: 0, trouble: null }
  }

  forget(): void {
    this.hasLooked = false
    this.life = null
    this.seen = new Map()
    for (const each of this.handedOut) each.isForgotten = true
  }

  /** Nothing that was handed out is lost as long as what made it is there. Returns how much was looked at. */
  async assertNothingLost(): Promise<number> {
    const { life } = this
    if (life === null) return 0
    const { oldestDecryptable } = this.backend.backUp()
    let checked = 0
    this.backend.failWith(null)
    for (const each of this.handedOut) {
      if (this.materialOf(each.version) !== each.material || each.version < oldestDecryptable) continue
      const { lineage } = parseCiphertext(each.ciphertext)
      const isIt = (one: { version: number; lineage: Uint8Array }): boolean =>
        isSameVersion({ ...one, createdAtMs: 0 }, { version: each.version, lineage, createdAtMs: 0 })
      const known = life.versions.find(isIt)
      // Lost with what the node knew, or to be seen again by the next look.
      if ((each.isForgotten && known === undefined && !life.former.some(isIt)) || known?.phase === 'retired') continue
      expect(await codeOf(() => this.service.decrypt({ ...each, uid: 'd' }, CALL))).toBe('none')
      checked += 1
    }
    this.setDown(this.#isDown)
    return checked
  }

  /** Whoever goes on by a seed because it has the key id that Status names must be able to read it again. */
  #assertNamesOneKey(): void {
    const { keyId } = this.service.status()
    for (const each of this.handedOut) {
      if (each.keyId !== keyId || each.isForgotten || each.isBlind) continue
      expect(this.materialOf(each.version)).toBe(each.material)
    }
  }
}

/** What may happen, and how often. */
const EVENTS = {
  look: [12, world => world.look()],
  settle: [6, world => world.settle()],
  encrypt: [8, world => world.encrypt()],
  wait: [3, world => (world.nowMs += 30)],
  rotate: [4, ({ backend }) => backend.rotate()],
  // As operators should: not what still encrypts.
  retire: [
    1,
    ({ backend, active }) => {
      backend.setOldestDecryptable(Math.max(active, 1))
    },
  ],
  giveBack: [
    1,
    ({ backend }) => {
      backend.setOldestDecryptable(1)
    },
  ],
  replace: [
    2,
    ({ backend }) => {
      backend.replaceKey()
    },
  ],
  replaceWithinASecond: [
    2,
    ({ backend }) => {
      backend.replaceKeyUnseen()
    },
  ],
  delete: [
    1,
    ({ backend }) => {
      backend.deleteKey()
    },
  ],
  backUp: [3, ({ backend, backups }) => backups.push(backend.backUp())],
  restore: [
    3,
    ({ backend, backups }) => {
      backups.slice(-1).forEach(backend.restore)
    },
  ],
  restoreAnOldOne: [
    1,
    ({ backend, backups }) => {
      backups.slice(0, 1).forEach(backend.restore)
    },
  ],
  goDown: [
    2,
    world => {
      world.setDown(true)
    },
  ],
  comeUp: [
    4,
    world => {
      world.setDown(false)
    },
  ],
  restart: [
    3,
    world => {
      world.restart()
    },
  ],
  adopt: [
    2,
    world => {
      world.restart(true)
    },
  ],
  forget: [
    1,
    world => {
      world.forget()
    },
  ],
} as const satisfies Readonly<Record<string, readonly [weight: number, happen: (world: World) => unknown]>>
type Event = keyof typeof EVENTS

/** Lists of such events, without some. */
function lists(...without: readonly Event[]): fc.Arbitrary<readonly Event[]> {
  const names = (Object.keys(EVENTS) as Event[]).filter(name => !without.includes(name))
  const one = fc.oneof(...names.map(name => ({ weight: EVENTS[name][0], arbitrary: fc.constant(name) })))
  return fc.array(one, { maxLength: 60, size: 'max' })
}

describe('whatever happens to a key, its backend, or what the node remembers', () => {
  it('what was encrypted is decrypted as long as the key that did it is there, and no key id is given to two keys', async () => {
    let checked = 0
    await fc.assert(
      fc.asyncProperty(lists(), async happened => {
        const world = new World()
        await world.look()
        for (const name of happened) {
          await EVENTS[name][1](world)
          checked += await world.assertNothingLost()
        }
      }),
      { numRuns: 500 },
    )
    expect(checked).toBeGreaterThan(5_000)
  })

  it('the active version never becomes an older one, but where an operator takes another key, or the memory is lost', async () => {
    let changes = 0
    await fc.assert(
      fc.asyncProperty(lists(), async happened => {
        const world = new World()
        for (const name of happened) {
          const { active: before } = world
          await EVENTS[name][1](world)
          // Given up, or forgotten: begun anew.
          if (world.active === 0) continue
          expect(world.active).toBeGreaterThanOrEqual(before)
          changes += before > 0 && world.active > before ? 1 : 0
        }
      }),
      { numRuns: 500 },
    )
    expect(changes).toBeGreaterThan(50)
  })

  it('all goes on by itself once the key that was known is back', async () => {
    let checked = 0
    await fc.assert(
      fc.asyncProperty(lists('rotate', 'adopt', 'forget'), async happened => {
        const world = new World()
        await world.look()
        await world.encrypt()
        const original = world.backend.backUp()
        for (const name of happened) await EVENTS[name][1](world)
        world.setDown(false)
        world.backend.restore(original)
        await world.look()
        expect(world.life?.trouble).toBeNull()
        const before = world.handedOut.length
        await world.encrypt()
        expect(world.handedOut).toHaveLength(before + 1)
        expect(await world.assertNothingLost()).toBeGreaterThan(0)
        checked += 1
      }),
      { numRuns: 200 },
    )
    expect(checked).toBe(200)
  })
})
