import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { type Holding } from './add-generation.ts'
import { encodeContents } from './codec.ts'
import { type Generation, type KeyringContents } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { mergeContents } from './merge.ts'
import { type EntryState, type GenerationState } from './registry.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, enrolled, pending, rotated } from './testing/samples.ts'
import { tidy } from './tidy.ts'

const anchor = fakeMember('node-1')
const others = [fakeMember('node-2'), fakeMember('node-3')]

/** Each takes some ten milliseconds: more of them only with SLOW=1. */
const numRuns = process.env.SLOW === '1' ? 20_000 : 300
const timeoutMs = 60_000 + numRuns * 50

const REMOVED_VERSION = 9

/** What one side says, of all that there is: whatever it does not choose, it does not know. */
interface Choice {
  readonly states: readonly (GenerationState | 'unknown')[]
  readonly removed: readonly boolean[]
  readonly records: readonly boolean[]
  readonly entryVersion: number
  readonly name: string
  readonly revision: number
}

const choices: fc.Arbitrary<Choice> = fc.record({
  states: fc.array(fc.constantFrom('unknown', 'pending', 'active', 'retired'), { minLength: 5, maxLength: 5 }),
  removed: fc.array(fc.boolean(), { minLength: 2, maxLength: 2 }),
  records: fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }),
  entryVersion: fc.integer({ min: 1, max: 3 }),
  name: fc.constantFrom('tpm', 'renamed'),
  revision: fc.integer({ min: 1, max: 4 }),
})

/** Generations 1, two that follow it by links, one by a break, and one after that; a record for each member in each. */
async function everything(): Promise<KeyringContents> {
  let holding: Holding = await begun(anchor)
  holding = pending(pending(pending(holding)), 'broken')
  holding = rotated(holding)
  for (const { id } of holding.keyring.generations) holding = await enrolled(holding, [anchor, ...others], id)
  return holding.keyring
}

/** The generations that are known, each in its state. The highest is not retired: something else was current before that. */
function generationsOf(all: KeyringContents, known: ReadonlyMap<string, GenerationState>): readonly Generation[] {
  const listed = all.generations.flatMap(each => {
    const state = known.get(toHex(each.id))
    return state === undefined ? [] : [{ ...each, state }]
  })
  const begun = listed.map(each => (each.state === 'retired' ? { ...each, state: 'active' as const } : each))
  const { id } = currentGeneration({ ...all, generations: begun })
  return listed.map(each => (toHex(each.id) === toHex(id) ? { ...each, state: 'active' } : each))
}

/** One side of `all`. It keeps the rules of the format: parents are known, and the anchor can always get in. */
function sideOf(
  all: KeyringContents,
  { states, removed, records, entryVersion, name, revision }: Choice,
): KeyringContents {
  const known = new Map<string, GenerationState>()
  all.generations.forEach(({ id, parentId, number }, index) => {
    const state = number === 1 ? 'active' : (states[index] ?? 'unknown')
    if (state !== 'unknown' && (number === 1 || known.has(toHex(parentId)))) known.set(toHex(id), state)
  })
  const isRemoved = (memberId: Uint8Array) =>
    others.some((other, index) => toHex(other.memberId) === toHex(memberId) && removed[index] === true)
  const stateOf = (memberId: Uint8Array): EntryState => (isRemoved(memberId) ? 'removed' : 'active')
  const isAnchors = (memberId: Uint8Array) => toHex(memberId) === toHex(anchor.memberId)
  return tidy({
    ...all,
    revision,
    generations: generationsOf(all, known),
    seals: all.seals.map(seal => ({ ...seal, name, entryVersion })),
    members: all.members.map(member => ({
      ...member,
      state: stateOf(member.memberId),
      // Nobody is let in again here: a record from before the removal would then stay or go, depending on the order.
      entryVersion: isRemoved(member.memberId) ? REMOVED_VERSION : entryVersion,
    })),
    records: all.records.filter(
      ({ memberId, generationId }, index) =>
        known.has(toHex(generationId)) && !isRemoved(memberId) && (isAnchors(memberId) || records[index] === true),
    ),
    links: all.links.filter(({ toId }) => known.has(toHex(toId))),
  })
}

const bytesOf = (contents: KeyringContents) => toHex(encodeContents(contents))
/** All but the revision, which counts merges. */
const view = (contents: KeyringContents) => bytesOf({ ...contents, revision: 1 })

describe('the merge of contents', () => {
  it(
    'depends neither on order nor on repetition',
    async () => {
      const all = await everything()
      fc.assert(
        fc.property(choices, choices, choices, (...chosen) => {
          const [a, b, c] = chosen.map(choice => sideOf(all, choice))
          if (a === undefined || b === undefined || c === undefined) throw new Error('no three sides')
          const merged = mergeContents(a, b)
          expect(bytesOf(mergeContents(b, a))).toBe(bytesOf(merged))
          expect(view(mergeContents(merged, c))).toBe(view(mergeContents(a, mergeContents(b, c))))
          expect(bytesOf(mergeContents(a, a))).toBe(bytesOf(a))
          for (const side of [a, b]) expect(bytesOf(mergeContents(merged, side))).toBe(bytesOf(merged))
        }),
        { numRuns },
      )
    },
    timeoutMs,
  )

  it(
    'has the revision of the side that it is equal to, else one that neither has had',
    async () => {
      const all = await everything()
      fc.assert(
        fc.property(choices, choices, (one, two) => {
          const [a, b] = [sideOf(all, one), sideOf(all, two)]
          const merged = mergeContents(a, b)
          const known = [a, b].some(side => bytesOf(side) === bytesOf(merged))
          const highest = Math.max(a.revision, b.revision)
          expect(known ? merged.revision <= highest : merged.revision === highest + 1).toBe(true)
        }),
        { numRuns },
      )
    },
    timeoutMs,
  )
})
