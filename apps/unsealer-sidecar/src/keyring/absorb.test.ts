import { randomBytes } from 'node:crypto'
import { type Keyring, KeyringError, MAX_KEYRING_BYTES, OpenKeyring } from '@sealwright/keyring'
import { fakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, type Holding, withForgedLineage } from '../testing/keyrings.ts'
import { type AbsorberDependencies, keyringAbsorber } from './absorb.ts'

const { signal } = new AbortController()
let first: Holding
let opened: OpenKeyring

beforeAll(async () => {
  first = await begun([fakeSeal()])
  opened = OpenKeyring.from(first.keyring, first.sealKeys)
})

/** An absorber, and all that it did, in turn. */
function absorber(change: Partial<AbsorberDependencies> = {}) {
  const done: string[] = []
  const refused: unknown[] = []
  const { absorb, learn, startAfresh } = keyringAbsorber({
    held: () => opened,
    merge: () => done.push('merge'),
    open: () => {
      done.push('open')
      return Promise.resolve(true)
    },
    isGivenUp: () => false,
    offer: () => done.push('offer'),
    onLearned: () => done.push('learned'),
    onRefused: error => refused.push(error),
    signal,
    ...change,
  })
  return {
    absorb: (bytes: Uint8Array, limit = signal) => absorb(bytes, limit),
    learn: (bytes: Uint8Array, limit = signal) => learn(bytes, limit),
    ...{ startAfresh, done, refused },
  }
}

/** Says of each keyring that its key is not held. */
const isAhead = (): never => {
  throw new KeyringError('KEYRING_KEY_UNKNOWN', 'ahead')
}

describe('the absorber', () => {
  it('looks at the same bytes once, even if others came in between', async () => {
    const { absorb, done } = absorber()
    const later = bytesOf(ahead(first))
    for (const bytes of [bytesOf(first), later, bytesOf(first), later]) await absorb(bytes)
    expect(done).toEqual(['merge', 'merge'])
  })

  it('looks again at what a break has given up when something else is held: what it brought may have given way to more', async () => {
    let held = opened
    const { absorb, done } = absorber({ isGivenUp: () => true, held: () => held })
    for (let times = 0; times < 3; times += 1) expect(await absorb(bytesOf(first))).toBeUndefined()
    expect(done).toEqual(['merge'])
    held = OpenKeyring.from(first.keyring, first.sealKeys)
    for (let times = 0; times < 3; times += 1) expect(await absorb(bytesOf(first))).toBeUndefined()
    expect(done).toEqual(['merge', 'merge'])
  })

  it('does not ask a seal again for what a break has given up, if that brought nothing', async () => {
    const { absorb, done } = absorber({ isGivenUp: () => true, merge: isAhead })
    for (let times = 0; times < 3; times += 1) expect(await absorb(bytesOf(first))).toBeUndefined()
    expect(done).toEqual(['open'])
  })

  it('looks again at what was refused, once it is told that the configuration may have changed', async () => {
    const { absorb, startAfresh, refused } = absorber()
    await absorb(randomBytes(100).fill(1))
    startAfresh()
    await absorb(randomBytes(100).fill(1))
    expect(refused).toHaveLength(2)
  })

  it('forgets the oldest of many, and looks at that one again', async () => {
    const { absorb, refused } = absorber()
    const junk = (number: number): Uint8Array => Uint8Array.of(number)
    for (let number = 0; number < 64; number += 1) await absorb(junk(number))
    await absorb(junk(0))
    expect(refused).toHaveLength(64)
    await absorb(junk(64))
    await absorb(junk(63))
    expect(refused).toHaveLength(65)
    await absorb(junk(0))
    expect(refused).toHaveLength(66)
  })

  it('tells once of what is no keyring, is too large, or is vouched for by nobody, and asks for nothing', async () => {
    const { absorb, done, refused } = absorber()
    const cases = [
      randomBytes(100),
      new Uint8Array(MAX_KEYRING_BYTES + 1),
      withForgedLineage(ahead(first)),
      bytesOf(first).subarray(0, -1),
    ]
    for (const bytes of [...cases, ...cases]) await absorb(bytes)
    expect(refused).toMatchObject([
      { code: 'KEYRING_MALFORMED' },
      { code: 'KEYRING_TOO_LARGE' },
      { code: 'KEYRING_LINEAGE_FORGED' },
      { code: 'KEYRING_MALFORMED' },
    ])
    expect(done).toEqual([])
  })

  it('answers why a keyring was not taken, each time; nothing if it was', async () => {
    const refused = absorber()
    for (let times = 0; times < 2; times += 1) {
      expect(await refused.absorb(withForgedLineage(ahead(first)))).toMatchObject({ code: 'KEYRING_LINEAGE_FORGED' })
      expect(await refused.absorb(bytesOf(first))).toBeUndefined()
    }
    const waiting = absorber({ merge: isAhead, open: () => Promise.resolve(false) })
    expect(await waiting.absorb(bytesOf(first))).toMatchObject({ code: 'CUSTODY_SEALED' })
    const broken = absorber({ merge: isAhead, open: () => Promise.reject(new TypeError('a bug')) })
    expect(await broken.absorb(bytesOf(first))).toEqual({ code: 'TypeError', message: 'a bug' })
  })

  it('asks for a keyring to be opened only if its key is not held, and once if that went well', async () => {
    const { absorb, done } = absorber({ merge: isAhead })
    await absorb(bytesOf(first))
    await absorb(bytesOf(first))
    expect(done).toEqual(['open'])
  })

  it('opens the same bytes once, also for two calls at the same time', async () => {
    const gate = Promise.withResolvers<boolean>()
    let opens = 0
    const { absorb } = absorber({
      merge: isAhead,
      open: () => {
        opens += 1
        return gate.promise
      },
    })
    const calls = [absorb(bytesOf(first)), absorb(bytesOf(first)), absorb(bytesOf(first))]
    await new Promise(setImmediate)
    gate.resolve(true)
    await Promise.all(calls)
    expect(opens).toBe(1)
  })

  it.each([
    ['no seal opened it', () => Promise.resolve(false)],
    ['a seal was down', () => Promise.reject(new Error('down'))],
  ])('tries the same bytes again after %s', async (_, open) => {
    let opens = 0
    const counted = (): Promise<boolean> => {
      opens += 1
      return open()
    }
    const { absorb } = absorber({ merge: isAhead, open: counted })
    await absorb(bytesOf(first))
    await absorb(bytesOf(first))
    expect(opens).toBe(2)
  })

  it('offers what comes while nothing is held, and looks at it again once something is', async () => {
    const node: { held?: OpenKeyring } = {}
    const { absorb, done } = absorber({ held: () => node.held })
    await absorb(bytesOf(first))
    await absorb(bytesOf(first))
    node.held = opened
    await absorb(bytesOf(first))
    expect(done).toEqual(['offer', 'offer', 'merge'])
  })

  it('does not offer what is no keyring', async () => {
    const { absorb, done, refused } = absorber({ held: () => undefined })
    await absorb(withForgedLineage(ahead(first)))
    expect(done).toEqual([])
    expect(refused).toHaveLength(1)
  })

  it('says that it learned something only if something else is held than before', async () => {
    let held = opened
    const learned: Keyring[] = []
    const next = ahead(first)
    const { absorb } = absorber({
      held: () => held,
      merge: () => {
        held = OpenKeyring.from(next.keyring, next.sealKeys)
      },
      onLearned: keyring => learned.push(keyring),
    })
    await absorb(bytesOf(next))
    expect(learned).toEqual([next.keyring])
    const { absorb: nothingNew, done } = absorber()
    await nothingNew(bytesOf(next))
    expect(done).toEqual(['merge'])
  })

  it('leaves a caller who went away, and goes on for the others', async () => {
    const stop = new AbortController()
    const gate = Promise.withResolvers<boolean>()
    let opens = 0
    const { absorb, refused } = absorber({
      merge: isAhead,
      open: () => {
        stop.abort(new Error('the caller went away'))
        opens += 1
        return gate.promise
      },
    })
    await expect(absorb(bytesOf(first), stop.signal)).rejects.toThrow('the caller went away')
    const other = absorb(bytesOf(first))
    gate.resolve(true)
    await other
    expect([opens, refused]).toEqual([1, []])
  })
})

describe('the absorber, for somebody who wants to know what came of it', () => {
  it('throws what is wrong, each time, also of what was refused before', async () => {
    const { absorb, learn, refused } = absorber()
    const forged = withForgedLineage(ahead(first))
    await absorb(forged)
    for (let times = 0; times < 2; times += 1) {
      await expect(learn(forged)).rejects.toMatchObject({ code: 'KEYRING_LINEAGE_FORGED' })
    }
    expect(refused).toHaveLength(1)
  })

  it('looks at what brought nothing new before', async () => {
    const { absorb, learn, done } = absorber()
    await absorb(bytesOf(first))
    expect(await learn(bytesOf(first))).toBe(true)
    expect(done).toEqual(['merge', 'merge'])
  })

  it('says that a seal has to come back first', async () => {
    const { learn } = absorber({ merge: isAhead, open: () => Promise.resolve(false) })
    expect(await learn(bytesOf(first))).toBe(false)
  })

  it('offers nothing where nothing is held', async () => {
    const { learn, done } = absorber({ held: () => undefined })
    expect(await learn(bytesOf(first))).toBe(false)
    expect(done).toEqual([])
  })

  it('says that it learned something', async () => {
    let held = opened
    const learned: Keyring[] = []
    const next = ahead(first)
    const { learn } = absorber({
      held: () => held,
      merge: () => {
        held = OpenKeyring.from(next.keyring, next.sealKeys)
      },
      onLearned: keyring => learned.push(keyring),
    })
    await learn(bytesOf(next))
    expect(learned).toEqual([next.keyring])
  })
})
