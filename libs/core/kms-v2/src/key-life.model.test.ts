import fc from 'fast-check'
import { type KeyObservation, type KeyVersion } from './backend.ts'
import { activeVersion, type KeyLife, observeKey, type RotationPolicy } from './key-life.ts'
import { encodeState, parseState } from './state.ts'

/** Small numbers, so that what is meant to meet does meet. */
const POLICY: RotationPolicy = { stableObservations: 2, activationDelayMs: 100 }
/** How far the clock of a node may be off, either way. */
const SKEW_MS = 10
/** How far a standby may be behind. */
const LAG_MS = 10
const START_MS = 1_000

function lineage(fill: number): Uint8Array {
  return new Uint8Array(16).fill(fill)
}

describe('whatever a node is told by a backend that may say anything', () => {
  const version = fc.record({
    version: fc.integer({ min: 1, max: 6 }),
    lineage: fc.constantFrom(1, 1, 1, 2).map(lineage),
    createdAtMs: fc.integer({ min: 0, max: 400 }),
  })
  const observation = fc.record({
    versions: fc
      .uniqueArray(version, { selector: each => each.version, minLength: 1 })
      .map(versions => versions.toSorted((a, b) => a.version - b.version)),
    oldestDecryptable: fc.integer({ min: 0, max: 7 }),
    oldestEncryptable: fc.integer({ min: 0, max: 7 }),
  })
  const trials = fc.record({
    newestWorks: fc.boolean(),
    refused: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 2 }).map(numbers => new Set(numbers)),
  })
  const look = fc.record({ observation, nowMs: fc.integer({ min: -100, max: 600 }), trials })

  /** Runs `check` before and after each look of many. */
  function assertOnEachLook(check: (before: KeyLife | null, after: KeyLife, seen: KeyObservation) => void): void {
    fc.assert(
      fc.property(fc.array(look, { maxLength: 12 }), looks => {
        let life: KeyLife | null = null
        for (const { observation: seen, nowMs, trials: tried } of looks) {
          const after: KeyLife = observeKey(life, seen, { nowMs, policy: POLICY, ...tried })
          check(life, after, seen)
          life = after
        }
      }),
      { numRuns: 500 },
    )
  }

  it('the active version never becomes an older one, and never goes without a new first look', () => {
    assertOnEachLook((before, after) => {
      const last = before === null ? undefined : activeVersion(before)?.version
      if (last !== undefined) expect(activeVersion(after)?.version).toBeGreaterThanOrEqual(last)
    })
  })

  it('exactly one version is active, newer ones wait, older ones only decrypt or nothing', () => {
    assertOnEachLook((_before, after) => {
      const active = activeVersion(after)?.version
      expect(after.versions.length === 0).toBe(active === undefined)
      for (const { version: number, phase } of after.versions) {
        if (number === active) expect(phase).toBe('active')
        else expect(number > (active ?? 0) ? ['pending'] : ['retiring', 'retired']).toContain(phase)
      }
    })
  })

  it('no version is forgotten, and none becomes another key', () => {
    assertOnEachLook((before, after) => {
      for (const known of before?.versions ?? []) {
        const still = after.versions.find(each => each.version === known.version)
        expect(still?.lineage).toEqual(known.lineage)
      }
    })
  })

  it('without trouble, the active version is one that was just seen to encrypt and decrypt', () => {
    assertOnEachLook((_before, after, seen) => {
      if (after.trouble !== null || after.doubts > 0) return
      const active = activeVersion(after)?.version
      expect(seen.versions.map(each => each.version)).toContain(active)
      expect(active).toBeGreaterThanOrEqual(Math.max(seen.oldestDecryptable, seen.oldestEncryptable))
    })
  })

  it('can be remembered', () => {
    assertOnEachLook((_before, { versions, former, stableObservations }) => {
      const state = { provider: 'transit' as const, clusterId: 'c', life: { versions, former, stableObservations } }
      expect(parseState(encodeState(state))).toEqual(state)
    })
  })
})

/** A key as its operators treat it. */
class Key {
  nowMs = START_MS
  #now: KeyObservation = {
    versions: [{ version: 1, lineage: lineage(1), createdAtMs: START_MS }],
    oldestDecryptable: 1,
    oldestEncryptable: 1,
  }
  #before = this.#now
  #changedAtMs = START_MS

  rotate(): void {
    const made: KeyVersion = {
      version: this.newest + 1,
      lineage: lineage(this.newest + 1),
      createdAtMs: this.nowMs,
    }
    this.#change({ ...this.#now, versions: [...this.#now.versions, made] })
  }

  retireBefore(version: number): void {
    const versions = this.#now.versions.filter(each => each.version >= version)
    this.#change({ versions, oldestDecryptable: version, oldestEncryptable: version })
  }

  get newest(): number {
    return this.#now.versions.at(-1)?.version ?? 0
  }

  get oldest(): number {
    return this.#now.oldestDecryptable
  }

  /** `isLagging`: as a standby shows it that may not have the last change yet. */
  seen(isLagging: boolean): KeyObservation {
    return isLagging && this.nowMs - this.#changedAtMs <= LAG_MS ? this.#before : this.#now
  }

  #change(next: KeyObservation): void {
    this.#before = this.#now
    this.#now = next
    this.#changedAtMs = this.nowMs
  }
}

class Node {
  life: KeyLife | null = null
  /** When it last saw the key as it is, since it last lost what it knew. */
  sawTruthAtMs = Number.NEGATIVE_INFINITY
  /** The newest version that it ever took as active from a true look. */
  highest = 0
  /** What was known after each true look: any of it may be what its disk still has. */
  #known: KeyLife[] = []
  #isFirst = true
  readonly #skewMs: number

  constructor(skewMs: number) {
    this.#skewMs = skewMs
  }

  look(key: Key, isLagging = false): void {
    // Who remembers nothing, sees the past, and has a slow clock has no sign that a version is old enough: it begins with one that all decrypt.
    if (isLagging && this.life === null) this.highest = 0
    this.life = observeKey(this.life, key.seen(isLagging), {
      nowMs: key.nowMs + this.#skewMs,
      policy: POLICY,
      isFirst: this.#isFirst,
      newestWorks: true,
      refused: new Set(),
    })
    this.#isFirst = false
    if (isLagging) return
    this.#known.push(this.life)
    this.sawTruthAtMs = key.nowMs
    expect(this.active).toBeGreaterThanOrEqual(this.highest)
    this.highest = this.active
  }

  /** Begins again with what it knew so many looks ago. */
  restart(looksAgo: number): void {
    const { life } = this
    this.life = this.#known.at(-1 - Math.min(looksAgo, this.#known.length - 1)) ?? life
    this.#isFirst = true
    this.sawTruthAtMs = Number.NEGATIVE_INFINITY
  }

  forget(): void {
    this.life = null
    this.#known = []
    this.#isFirst = true
    this.sawTruthAtMs = Number.NEGATIVE_INFINITY
  }

  get active(): number {
    return this.life === null ? 0 : (activeVersion(this.life)?.version ?? 0)
  }

  canDecrypt(version: number): boolean {
    const known = this.life?.versions.find(each => each.version === version)
    return known !== undefined && known.phase !== 'retired'
  }
}

type Event =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'rotate' }
  | { readonly kind: 'retire' }
  | { readonly kind: 'look' | 'lag' | 'forget'; readonly node: number }
  | { readonly kind: 'restart'; readonly node: number; readonly looksAgo: number }

describe('many nodes that look at one key, each in its own time', () => {
  const node = fc.nat({ max: 3 })
  const event: fc.Arbitrary<Event> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 130 }) }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('look' as const), node }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('rotate' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lag' as const, 'forget' as const), node }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('restart' as const), node, looksAgo: fc.nat({ max: 12 }) }),
    },
  )
  const skews = fc.array(fc.integer({ min: -SKEW_MS, max: SKEW_MS }), { minLength: 4, maxLength: 4 })
  const run = fc.record({ skews, events: fc.array(event, { maxLength: 80, size: 'max' }) })

  function happen(event: Event, key: Key, nodes: readonly Node[]): void {
    switch (event.kind) {
      case 'wait':
        key.nowMs += event.ms
        return
      case 'rotate':
        key.rotate()
        return
      case 'retire':
        // As operators should: not above what any node still encrypts by.
        key.retireBefore(Math.max(key.oldest, Math.min(key.newest, ...nodes.map(each => each.active).filter(Boolean))))
        return
      case 'look':
        nodes[event.node]?.look(key)
        return
      case 'lag':
        nodes[event.node]?.look(key, true)
        return
      case 'forget':
        nodes[event.node]?.forget()
        return
      case 'restart':
        nodes[event.node]?.restart(event.looksAgo)
    }
  }

  /** Runs `check` after each event of many runs. */
  function assertOnEachEvent(
    check: (key: Key, nodes: readonly Node[]) => void,
    atEnd: (key: Key, nodes: readonly Node[]) => void = () => undefined,
  ): void {
    fc.assert(
      fc.property(run, ({ skews: skewsMs, events }) => {
        const key = new Key()
        const nodes = skewsMs.map(skewMs => new Node(skewMs))
        for (const each of events) {
          happen(each, key, nodes)
          check(key, nodes)
        }
        atEnd(key, nodes)
      }),
      { numRuns: 500 },
    )
  }

  it('what one encrypts, each other decrypts that has looked since the delay began', () => {
    let checked = 0
    assertOnEachEvent((key, nodes) => {
      for (const { active } of nodes) {
        if (active < key.oldest) continue // The backend does not encrypt by it any more.
        for (const other of nodes) {
          if (other.sawTruthAtMs <= key.nowMs - POLICY.activationDelayMs + SKEW_MS) continue
          if (!other.canDecrypt(active)) throw new Error(`version ${active} is not decrypted by all`)
          checked += active > 1 ? 1 : 0
        }
      }
    })
    expect(checked).toBeGreaterThan(1_000)
  })

  it('all encrypt by the newest version, once they have looked so often and the delay is over', () => {
    let checked = 0
    assertOnEachEvent(
      () => undefined,
      (key, nodes) => {
        key.nowMs += POLICY.activationDelayMs + SKEW_MS
        for (let count = 0; count < POLICY.stableObservations; count += 1) {
          for (const each of nodes) each.look(key)
        }
        expect(nodes.map(each => each.active)).toEqual(nodes.map(() => key.newest))
        expect(nodes.map(each => each.life?.trouble)).toEqual(nodes.map(() => null))
        checked += key.newest > 2 ? 1 : 0
      },
    )
    expect(checked).toBeGreaterThan(100)
  })
})
