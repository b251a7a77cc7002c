import { adoptKey } from './adopt-key.ts'
import { type KeyObservation } from './backend.ts'
import {
  activeVersion,
  CONVINCING_DOUBTS,
  keyNotFound,
  type KeyLife,
  type ObserveOptions,
  observeKey,
  pendingVersion,
} from './key-life.ts'
import { keepSamples } from './samples.ts'
import { type KmsState } from './state.ts'
import { codeOf, POLICY, START_MS } from './testing/test-service.ts'

/** No sample is refused. */
const NONE: ReadonlySet<number> = new Set()
const DELAY_MS = POLICY.activationDelayMs

/** A lineage that no other version has. */
function lineageOf(version: number, key = 0): Uint8Array {
  return new Uint8Array(16).fill(version).fill(key, 8)
}

interface Described {
  /** When each version was made, from {@link START_MS} on, in milliseconds; undefined where there is none. Begins with version 1. */
  readonly made: readonly (number | undefined)[]
  readonly oldestDecryptable?: number
  readonly oldestEncryptable?: number
  readonly key?: number
}

function observation({ made, oldestDecryptable = 1, oldestEncryptable = 1, key = 0 }: Described): KeyObservation {
  const versions = made.flatMap((madeMs, index) =>
    madeMs === undefined
      ? []
      : [{ version: index + 1, lineage: lineageOf(index + 1, key), createdAtMs: START_MS + madeMs }],
  )
  return { versions, oldestDecryptable, oldestEncryptable }
}

/** Looks at the key so many milliseconds after {@link START_MS}. */
function look(
  known: KeyLife | null,
  atMs: number,
  described: Described,
  trials: Partial<ObserveOptions> = {},
): KeyLife {
  const nowMs = START_MS + atMs
  return observeKey(known, observation(described), {
    nowMs,
    policy: POLICY,
    newestWorks: true,
    refused: NONE,
    ...trials,
  })
}

/** Looks as often as it takes to be believed. */
function lookLong(known: KeyLife, atMs: number, described: Described): KeyLife {
  return Array.from({ length: CONVINCING_DOUBTS }).reduce<KeyLife>(life => look(life, atMs, described), known)
}

function phasesOf({ versions }: KeyLife): readonly string[] {
  return versions.map(({ version, phase }) => `${version} ${phase}`)
}

/** What a node knows that has seen version 1, and version 2 made at 0, and has looked at it once. */
function withPending(): KeyLife {
  return look(look(null, -1, { made: [-DELAY_MS] }), 0, { made: [-DELAY_MS, 0] })
}

describe('a first look since the start', () => {
  it('takes what is old enough at once, though what was remembered is from before it', () => {
    const remembered = look(null, -DELAY_MS, { made: [-DELAY_MS] })
    const described = { made: [-DELAY_MS, 0, DELAY_MS] }
    expect(phasesOf(look(remembered, DELAY_MS, described))).toEqual(['1 active', '2 pending', '3 pending'])
    expect(phasesOf(look(remembered, DELAY_MS, described, { isFirst: true }))).toEqual([
      ...['1 retiring', '2 active', '3 pending'],
    ])
    const trials = { isFirst: true, newestWorks: false }
    expect(phasesOf(look(remembered, DELAY_MS, described, trials))).toEqual(['1 active', '2 pending', '3 pending'])
  })
})

describe('a first look', () => {
  it('takes the only version, however young', () => {
    expect(phasesOf(look(null, 0, { made: [0] }))).toEqual(['1 active'])
  })

  it('takes the newest version that every node must have seen', () => {
    const life = look(null, DELAY_MS, { made: [-9, 0, 1] })
    expect(phasesOf(life)).toEqual(['1 retiring', '2 active', '3 pending'])
  })

  it('takes the oldest when all are young: the others began with it', () => {
    expect(phasesOf(look(null, 2, { made: [0, 1, 2] }))).toEqual(['1 active', '2 pending', '3 pending'])
  })

  it('takes none that does not both encrypt and decrypt', () => {
    const made = [-DELAY_MS, -DELAY_MS, 0]
    expect(phasesOf(look(null, 0, { made, oldestEncryptable: 3 }))).toEqual(['1 retiring', '2 retiring', '3 active'])
    expect(phasesOf(look(null, 0, { made, oldestDecryptable: 3 }))).toEqual(['1 retired', '2 retired', '3 active'])
  })

  it('that finds nothing to use does not count as one', () => {
    const made = [-DELAY_MS, -DELAY_MS]
    const nothing = look(null, 0, { made, oldestEncryptable: 3 })
    expect(nothing).toEqual({
      ...{ versions: [], former: [], stableObservations: 0, doubts: 0 },
      trouble: { kind: 'unusable' },
    })
    expect(activeVersion(nothing)).toBeUndefined()
    expect(phasesOf(look(nothing, 1, { made }))).toEqual(['1 retiring', '2 active'])
  })

  it('by a node whose clock was not set yet goes by the dates of the versions', () => {
    const made = [-2 * DELAY_MS, -DELAY_MS, 0]
    expect(phasesOf(look(null, -START_MS, { made }))).toEqual(['1 retiring', '2 active', '3 pending'])
  })
})

describe('a new version', () => {
  it('waits for its age and for the observations, whichever comes last', () => {
    const made = [-DELAY_MS, 0]
    const pending = withPending()
    expect(phasesOf(pending)).toEqual(['1 active', '2 pending'])
    expect(pendingVersion(pending)?.version).toBe(2)
    const young = look(pending, DELAY_MS - 1, { made })
    expect(phasesOf(young)).toEqual(['1 active', '2 pending'])
    expect(phasesOf(look(young, DELAY_MS, { made }))).toEqual(['1 retiring', '2 active'])
    const late = look(look(null, -1, { made: [-DELAY_MS] }), DELAY_MS, { made })
    expect(phasesOf(late)).toEqual(['1 active', '2 pending'])
    expect(phasesOf(look(late, DELAY_MS, { made }))).toEqual(['1 retiring', '2 active'])
  })

  it('waits as long as it does not work', () => {
    const made = [-DELAY_MS, 0]
    const broken = look(look(withPending(), DELAY_MS, { made }, { newestWorks: false }), DELAY_MS, { made })
    expect(broken).toMatchObject({ stableObservations: 1 })
    expect(phasesOf(broken)).toEqual(['1 active', '2 pending'])
    expect(phasesOf(look(broken, DELAY_MS, { made }))).toEqual(['1 retiring', '2 active'])
  })

  it('does not keep the one before it from becoming active, once that is old enough', () => {
    const made = [-DELAY_MS, 0, DELAY_MS - 10]
    const both = look(withPending(), DELAY_MS - 5, { made })
    expect(both.stableObservations).toBe(1)
    const second = look(both, DELAY_MS, { made })
    expect(phasesOf(second)).toEqual(['1 retiring', '2 active', '3 pending'])
    const third = look(second, 2 * DELAY_MS - 10, { made })
    expect(phasesOf(third)).toEqual(['1 retiring', '2 retiring', '3 active'])
  })

  it('becomes active together with all before it, when a node was away for long', () => {
    const made = [-DELAY_MS, 0, 1, 2]
    const back = look(withPending(), 2 * DELAY_MS, { made })
    expect(phasesOf(back)).toEqual(['1 active', '2 pending', '3 pending', '4 pending'])
    expect(phasesOf(look(back, 2 * DELAY_MS, { made }))).toEqual(['1 retiring', '2 retiring', '3 retiring', '4 active'])
  })

  it('is not taken early by a node whose clock is ahead: it has to see it as often as the others', () => {
    const life = look(look(null, -1, { made: [-DELAY_MS] }), 1000 * DELAY_MS, { made: [-DELAY_MS, 0] })
    expect(phasesOf(life)).toEqual(['1 active', '2 pending'])
  })

  it('changes nothing more in what is remembered once it is active', () => {
    const made = [-DELAY_MS, 0]
    const settled = look(withPending(), DELAY_MS, { made })
    expect(look(settled, 9 * DELAY_MS, { made })).toEqual(settled)
  })
})

describe('a version that is taken away', () => {
  it('is followed at once by the next that is left, whatever its age', () => {
    const made = [-DELAY_MS, 0]
    expect(phasesOf(look(withPending(), 1, { made, oldestEncryptable: 2 }))).toEqual(['1 retiring', '2 active'])
    expect(phasesOf(look(withPending(), 1, { made: [undefined, 0], oldestDecryptable: 2 }))).toEqual([
      '1 retired',
      '2 active',
    ])
  })

  it('is known again when it may decrypt again, and does not come back to encrypt', () => {
    const retired = look(withPending(), 1, { made: [undefined, 0], oldestDecryptable: 2 })
    const again = look(retired, 2, { made: [-DELAY_MS, 0] })
    expect(again.trouble).toBeNull()
    expect(phasesOf(again)).toEqual(['1 retiring', '2 active'])
  })

  it('is not trusted again if another key comes back for it', () => {
    const retired = look(withPending(), 1, { made: [undefined, 0], oldestDecryptable: 2 })
    const again = look(retired, 2, { made: [-DELAY_MS, 0], key: 9 })
    expect(again.trouble).toMatchObject({ kind: 'replaced', version: 1 })
  })

  it('leaves the key unusable if no newer one is left, until it is given back', () => {
    const pending = withPending()
    const made = [-DELAY_MS, 0]
    const unusable = look(pending, 1, { made, oldestEncryptable: 3 })
    expect(unusable.trouble).toEqual({ kind: 'unusable' })
    expect(phasesOf(unusable)).toEqual(['1 active', '2 pending'])
    const back = look(unusable, 2, { made })
    expect(back.trouble).toBeNull()
    expect(phasesOf(back)).toEqual(['1 active', '2 pending'])
  })

  it('does not keep a node from learning the newer ones', () => {
    const unusable = look(withPending(), 1, { made: [-DELAY_MS, 0, 1], oldestEncryptable: 4 })
    expect(phasesOf(unusable)).toEqual(['1 active', '2 pending', '3 pending'])
  })
})

describe('a key that is not as it was', () => {
  it('is found out when it was deleted and made anew at the same moment', () => {
    const life = look(look(null, 0, { made: [0] }), 1, { made: [0], key: 9 })
    expect(life.trouble).toMatchObject({ kind: 'replaced', version: 1 })
    expect(phasesOf(life)).toEqual(['1 active'])
    expect(life.versions[0]?.lineage).toEqual(lineageOf(1))
  })

  it('is found out when it has been rotated as often since', () => {
    const life = look(withPending(), DELAY_MS, { made: [5, 6, 7], key: 9 })
    expect(life.trouble).toMatchObject({ kind: 'replaced', version: 1 })
    expect(phasesOf(life)).toEqual(['1 active', '2 pending'])
  })

  it('is found out when it went back, names the oldest version that is another, and teaches nothing', () => {
    const made = [-DELAY_MS, 0]
    const settled = look(withPending(), DELAY_MS, { made })
    const back = lookLong(settled, DELAY_MS, { made: [-DELAY_MS] })
    expect(back.trouble).toEqual({ kind: 'went-back', newest: 1, known: 2 })
    expect(back.versions).toEqual(settled.versions)
    const rotated: KeyObservation = {
      ...observation({ made }),
      versions: [1, 2].map(version => ({
        version,
        lineage: lineageOf(version, version === 2 ? 9 : 0),
        createdAtMs: START_MS - DELAY_MS,
      })),
    }
    const replaced = observeKey(settled, rotated, {
      nowMs: START_MS + DELAY_MS,
      policy: POLICY,
      newestWorks: true,
      refused: NONE,
    })
    expect(replaced.trouble).toMatchObject({ kind: 'replaced', version: 2 })
    expect(replaced.versions).toEqual(settled.versions)
  })

  it('is forgiven when it went back and came again, but the observations are counted anew', () => {
    const made = [-DELAY_MS, 0]
    const back = lookLong(withPending(), DELAY_MS, { made: [-DELAY_MS] })
    expect(back).toMatchObject({ trouble: { kind: 'went-back' }, stableObservations: 0 })
    const one = look(back, DELAY_MS, { made })
    expect(one.trouble).toBeNull()
    expect(phasesOf(one)).toEqual(['1 active', '2 pending'])
    expect(phasesOf(look(one, DELAY_MS, { made }))).toEqual(['1 retiring', '2 active'])
  })

  it('is not believed to have gone back, or away, at the first looks: a standby may lag behind', () => {
    const made = [-DELAY_MS, 0]
    const pending = withPending()
    const lagging = look(pending, 1, { made: [-DELAY_MS] })
    expect(lagging).toEqual({ ...pending, doubts: 1 })
    expect(keyNotFound(lagging)).toEqual({ ...pending, doubts: 2 })
    const settled = look(lagging, DELAY_MS, { made })
    expect(settled).toMatchObject({ doubts: 0, trouble: null })
    expect(phasesOf(settled)).toEqual(['1 retiring', '2 active'])
  })

  it('is gone when there is none, look after look, and is as it was when it is back', () => {
    const pending = withPending()
    const gone = keyNotFound(keyNotFound(keyNotFound(pending)))
    expect(gone).toEqual({ ...pending, stableObservations: 0, doubts: 3, trouble: { kind: 'missing' } })
    expect(keyNotFound(gone)).toEqual(gone)
    expect(look(gone, 1, { made: [-DELAY_MS, 0] })).toMatchObject({
      versions: pending.versions,
      doubts: 0,
      trouble: null,
    })
  })

  it('is found out by its sample alone when it was made anew within the same second', () => {
    const made = [-DELAY_MS, 0]
    const pending = withPending()
    const replaced = look(pending, 1, { made }, { refused: new Set([2]) })
    expect(replaced.trouble).toEqual({ kind: 'replaced', version: 2, seen: observation({ made }).versions })
    expect(replaced.versions).toEqual(pending.versions)
    expect(look(replaced, 1, { made }).trouble).toBeNull()
  })
})

describe('a key that an operator takes for another', () => {
  const state = (life: KeyLife): KmsState => ({ provider: 'transit', clusterId: 'c', life })
  const adopted = (life: KeyLife): KeyLife => ({ ...adoptKey(state(life)).life, doubts: 0, trouble: null })
  const formerOf = ({ former }: KeyLife) => former.map(({ version, lineage }) => [version, lineage])

  it('begins anew, and the old one is remembered', () => {
    const old = withPending()
    const fresh = adopted(old)
    expect(activeVersion(fresh)).toBeUndefined()
    const life = look(fresh, 1, { made: [0], key: 9 })
    expect(phasesOf(life)).toEqual(['1 active'])
    expect(life.versions[0]?.lineage).toEqual(lineageOf(1, 9))
    expect(formerOf(life)).toEqual([
      [1, lineageOf(1)],
      [2, lineageOf(2)],
    ])
  })

  it('is remembered in its turn when the old one is taken again, which is known with its sample', () => {
    const sample = Uint8Array.of(7)
    const old = keepSamples(look(null, 0, { made: [0] }), new Map([[1, sample]]))
    const other = look(adopted(old), 1, { made: [0], key: 9 })
    expect(look(other, 1, { made: [0] }).trouble).toMatchObject({ kind: 'replaced', version: 1 })
    const again = look(adopted(other), 1, { made: [0] })
    expect(again.versions).toEqual([{ ...old.versions[0], phase: 'active' }])
    expect(formerOf(again)).toEqual([[1, lineageOf(1, 9)]])
  })

  it('does not encrypt by a version that cannot be told from a former one, before it is rotated', () => {
    const fresh = adopted(look(null, 0, { made: [0] }))
    const same = look(fresh, 1, { made: [0] }, { refused: new Set([1]) })
    expect(same).toMatchObject({ versions: [], trouble: { kind: 'indistinct', version: 1 } })
    const rotated = look(same, 2, { made: [0, 2] }, { refused: new Set([1]) })
    expect(rotated.trouble).toBeNull()
    expect(phasesOf(rotated)).toEqual(['2 active'])
    expect(formerOf(rotated)).toEqual([[1, lineageOf(1)]])
  })

  it('may be an older copy of the same: what it has is known as before, the rest is remembered', () => {
    const settled = look(withPending(), DELAY_MS, { made: [-DELAY_MS, 0] })
    const life = look(adopted(settled), DELAY_MS, { made: [-DELAY_MS] })
    expect(phasesOf(life)).toEqual(['1 active'])
    expect(formerOf(life)).toEqual([[2, lineageOf(2)]])
  })

  it('changes nothing more when it is taken twice before a look', () => {
    const once = adoptKey(state(withPending()))
    expect(adoptKey(once)).toEqual(once)
  })
})

describe('what a node knows may be lost in any phase', () => {
  it.each([
    ['before a rotation', [-DELAY_MS], 0],
    ['while a version waits', [-DELAY_MS, 0], DELAY_MS - 1],
    ['after it has become active', [-DELAY_MS, 0], DELAY_MS],
    ['while the next one waits', [-2 * DELAY_MS, -DELAY_MS, 0], 1],
  ])('%s, and a first look finds the same', (_case, made, atMs) => {
    const kept = look(look(look(null, -2 * DELAY_MS, { made: made.slice(0, 1) }), atMs, { made }), atMs, { made })
    expect(phasesOf(look(null, atMs, { made }))).toEqual(phasesOf(kept))
  })
})

describe('an observation that cannot be', () => {
  const good = { version: 1, lineage: lineageOf(1), createdAtMs: 0 }

  it.each([
    ['no version', []],
    ['version 0', [{ ...good, version: 0 }]],
    ['half a version', [{ ...good, version: 1.5 }]],
    ['a version of five bytes', [{ ...good, version: 2 ** 32 }]],
    ['no number', [{ ...good, version: Number.NaN }]],
    ['one version twice', [good, good]],
    ['a wrong order', [{ ...good, version: 2 }, good]],
    ['a short lineage', [{ ...good, lineage: new Uint8Array(15) }]],
    ['a long lineage', [{ ...good, lineage: new Uint8Array(17) }]],
    ['a date before 1970', [{ ...good, createdAtMs: -1 }]],
    ['half a millisecond', [{ ...good, createdAtMs: 0.5 }]],
    ['no date', [{ ...good, createdAtMs: Number.NaN }]],
  ])('is refused: %s', async (_case, versions) => {
    expect(
      await codeOf(() =>
        observeKey(
          null,
          { versions, oldestDecryptable: 1, oldestEncryptable: 1 },
          { nowMs: START_MS, policy: POLICY, newestWorks: true, refused: NONE },
        ),
      ),
    ).toBe('KMS_BACKEND_BROKEN')
  })

  it('is not one with the highest version there is', () => {
    const versions = [{ ...good, version: 0xffff_ffff }]
    const options = { nowMs: START_MS, policy: POLICY, newestWorks: true, refused: NONE }
    const life = observeKey(null, { versions, oldestDecryptable: 1, oldestEncryptable: 1 }, options)
    expect(phasesOf(life)).toEqual(['4294967295 active'])
  })
})
