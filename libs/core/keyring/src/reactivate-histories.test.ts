import fc from 'fast-check'

import { type Holding } from './add-generation.ts'
import { hex } from '@sealwright/bytes'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { KeyringError, type KeyringErrorCode } from './keyring-error.ts'
import { type Keyring, memberKey } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { reactivateGenerations, retiredSince } from './reactivate.ts'
import { fakeMember, type FakeMember } from './testing/fake-member.ts'
import { begunForKms, brokenForKms, rotatedForKms } from './testing/kms-samples.ts'
import { codeOf, enrolled, retired, unwrap, without } from './testing/samples.ts'

const MEMBERS = ['one', 'two', 'three'].map(name => fakeMember(name))
const STEPS = ['rotate', 'enrol', 'enrol-old', 'retire', 'retire-all', 'remove', 'break', 'take-back'] as const
/** What an opening says to a member that the keyring gives no way in. */
const NO_WAY: readonly KeyringErrorCode[] = ['KEYRING_NO_RECORD', 'KEYRING_LINK_BROKEN']

interface Step {
  readonly kind: (typeof STEPS)[number]
  /** Chooses among what there is at that time. */
  readonly choice: number
}

/** What a keyring was, and what taking back made of it. */
interface TakenBack {
  readonly before: Holding
  readonly former: Keyring
  readonly after: Keyring
}

const isActive = ({ keyring }: Holding, { memberId }: FakeMember): boolean =>
  keyring.members.some(each => each.state === 'active' && hex(each.memberId) === hex(memberId))

async function next(holding: Holding, { kind, choice }: Step, history: readonly Keyring[]): Promise<Holding> {
  const { keyring } = holding
  const active = keyring.generations.filter(({ state }) => state === 'active')
  const spare = active.filter(each => each !== currentGeneration(keyring))
  const member = MEMBERS[choice % MEMBERS.length]
  const [old, chosen] = [active[choice % active.length], spare[choice % Math.max(1, spare.length)]]
  if (member === undefined || old === undefined) throw new Error('there is always one')
  switch (kind) {
    case 'rotate':
      return rotatedForKms(holding)
    case 'enrol':
      return await enrolled(holding, [member])
    case 'enrol-old':
      return await enrolled(holding, [member], old.id)
    case 'retire':
      return chosen === undefined ? holding : retired(holding, chosen)
    case 'retire-all':
      return spare.reduce((held, each) => retired(held, each), holding)
    case 'remove': {
      const removed = isActive(holding, member) ? without(holding, member) : holding
      return (await codeOf(() => encodeKeyring(removed.keyring))) === 'none' ? removed : holding
    }
    case 'break':
      return await brokenForKms(
        holding,
        [member, ...MEMBERS].filter(each => isActive(holding, each)).slice(0, 1 + (choice % 3)),
      )
    case 'take-back':
      return {
        ...holding,
        keyring: reactivateGenerations({ ...holding, former: history[choice % history.length] ?? keyring }),
      }
  }
}

async function takenBack(steps: readonly Step[], choice: number): Promise<TakenBack> {
  let holding = await enrolled(await begunForKms(MEMBERS[0]), MEMBERS.slice(1))
  const history = [holding.keyring]
  for (const step of steps) {
    try {
      holding = await next(holding, step, history)
    } catch (error) {
      // A member cannot be removed that is the last way in.
      if (!(error instanceof KeyringError) || error.code !== 'KEYRING_NO_WAY_IN') throw error
    }
    history.push(holding.keyring)
  }
  const former = history[choice % history.length] ?? holding.keyring
  return { before: holding, former, after: reactivateGenerations({ ...holding, former }) }
}

/** The generations that a member reaches, by their ids in hex; none if it does not open the keyring. */
async function reachedBy(keyring: Keyring, member: FakeMember): Promise<ReadonlySet<string>> {
  try {
    using keys = await unwrap(keyring, member)
    return new Set(keyring.generations.filter(({ id }) => keys.has(id)).map(({ id }) => hex(id)))
  } catch (error) {
    if (error instanceof KeyringError && NO_WAY.includes(error.code)) return new Set()
    throw error
  }
}

const histories = fc.array(fc.record({ kind: fc.constantFrom(...STEPS), choice: fc.nat(11) }), {
  minLength: 2,
  maxLength: 14,
})

describe('taking a retirement back, whatever happened before and since', () => {
  it('makes active what was, loses nothing, lets nobody in, and each member opens what it did and what it had', async () => {
    const seen = { changed: 0, same: 0 }
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(15), async (steps, choice) => {
        const { before: holding, former, after } = await takenBack(steps, choice)
        const before = holding.keyring
        const back = new Set(retiredSince({ keyring: before, former }).map(({ id }) => hex(id)))
        if (back.size === 0) {
          seen.same += 1
          expect(after).toBe(before)
          return
        }
        seen.changed += 1
        expect(after.revision).toBe(before.revision + 1)
        expect(decodeKeyring(encodeKeyring(after))).toEqual(after)
        expect(after.generations).toEqual(
          before.generations.map(each => (back.has(hex(each.id)) ? { ...each, state: 'active' } : each)),
        )
        expect([after.seals, after.members]).toEqual([before.seals, before.members])
        for (const list of ['records', 'links'] as const) {
          expect(after[list].filter(each => before[list].some(one => one === each))).toEqual(before[list])
          const added = after[list].filter(each => before[list].every(one => one !== each))
          expect(former[list]).toEqual(expect.arrayContaining([...added]))
        }
        const listed = new Set(before.members.filter(({ state }) => state === 'active').map(memberKey))
        expect(after.records.filter(each => !listed.has(memberKey(each)))).toEqual([])
        for (const member of MEMBERS) {
          const had = isActive(holding, member) ? await reachedBy(former, member) : new Set<string>()
          const held = await reachedBy(before, member)
          const reached = await reachedBy(after, member)
          const mustReach = held.size === 0 ? [] : [...held, ...[...had].filter(id => back.has(id))]
          expect([...reached]).toEqual(expect.arrayContaining(mustReach))
        }
        expect(reactivateGenerations({ ...holding, keyring: after, former })).toBe(after)
      }),
      { numRuns: 150 },
    )
    expect(Math.min(seen.changed, seen.same)).toBeGreaterThan(15)
  }, 120_000)
})
