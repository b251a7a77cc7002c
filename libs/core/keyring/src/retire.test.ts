import { toHex } from '@sealwright/testing-vectors'

import { type Holding } from './add-generation.ts'
import { encodeContents } from './codec.ts'
import { type Generation } from './keyring.ts'
import { tidy } from './tidy.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  broken,
  changed,
  enrolled,
  heldBy,
  opened,
  recordsOf,
  retired,
  rotated,
  rotatedAtOnce,
  unwrap,
  without,
} from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]

function generationAt({ keyring }: Holding, index: number): Generation {
  const generation = keyring.generations[index]
  if (generation === undefined) throw new Error(`no generation ${index}`)
  return generation
}

/** Retires generations by their place in the list. */
function withRetired(holding: Holding, indexes: readonly number[]): Holding {
  return indexes.reduce((next, index) => retired(next, generationAt(next, index)), holding)
}

describe('retiring a generation', () => {
  it('takes its records and its link once every member has newer ones', async () => {
    const both = await enrolled(await begun(one), [two])
    const moved = await enrolled(rotated(both), [one, two])
    const { keyring } = withRetired(moved, [0])
    expect(keyring.links).toEqual([])
    for (const member of [one, two]) {
      expect(recordsOf(keyring, member)).toEqual(['2'])
      expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['2'])
    }
  })

  it('never takes the last way of a member, nor the link that it leads over', async () => {
    const both = await enrolled(await begun(one), [two])
    const { keyring } = withRetired(await enrolled(rotated(both), [one]), [0])
    expect(recordsOf(keyring, one)).toEqual(['2'])
    expect(recordsOf(keyring, two)).toEqual(['1'])
    expect(heldBy(keyring, await unwrap(keyring, two))).toEqual(['1', '2'])
  })

  it('keeps its entry: it vouches for the next', async () => {
    const moved = await enrolled(rotated(await begun(one)), [one])
    expect(withRetired(moved, [0]).keyring.generations).toHaveLength(2)
  })

  it('keeps the link of a generation in the middle that an older record leads over', async () => {
    const { keyring } = withRetired(await enrolled(rotated(rotated(await begun(one))), [one]), [1])
    expect(keyring.links).toHaveLength(2)
    expect(recordsOf(keyring, one)).toEqual(['1', '3'])
    expect(heldBy(keyring, await unwrap(keyring, one))).toEqual(['1', '2', '3'])
  })

  it('keeps the way to a sibling that blobs may still name, until that is retired too', async () => {
    const moved = await enrolled(rotatedAtOnce(await begun(one)), [one])
    const first = withRetired(moved, [0])
    expect(recordsOf(first.keyring, one)).toEqual(['1', '2a'])
    expect(heldBy(first.keyring, await unwrap(first.keyring, one))).toEqual(['1', '2a', '2b'])
    const { keyring } = withRetired(first, [2])
    expect(recordsOf(keyring, one)).toEqual(['2a'])
    expect(keyring.links).toEqual([])
  })

  it('keeps the way to a generation from before a break that blobs may still name', async () => {
    const after = await broken(rotated(await begun(one)), [one])
    const first = withRetired(after, [0])
    expect(heldBy(first.keyring, await unwrap(first.keyring, one))).toEqual(['1', '2', '3'])
    const { keyring } = withRetired(first, [1])
    expect(recordsOf(keyring, one)).toEqual(['3'])
    expect(keyring.links).toEqual([])
  })

  it('leaves the record of a member that was left behind, though it leads nowhere', async () => {
    const both = await enrolled(await begun(one), [two])
    const { keyring } = withRetired(await broken(both, [one]), [0])
    expect(recordsOf(keyring, two)).toEqual(['1'])
  })

  it('takes nothing from whoever opens by the current generation', async () => {
    const moved = await enrolled(rotated(await begun(one)), [one])
    const before = await opened(moved.keyring, one)
    const after = await opened(withRetired(moved, [0]).keyring, one)
    expect(after.keyId).toBe(before.keyId)
  })
})

describe('tidying up', () => {
  it('takes the records of members that were removed', async () => {
    const both = await enrolled(await begun(one), [two])
    const { records } = both.keyring
    const removed = without(both, two).keyring
    expect(tidy({ ...removed, records }).records).toEqual(removed.records)
  })

  it('takes the records of seals that were removed', async () => {
    const { keyring } = await begun(one)
    const seals = keyring.seals.map(seal => ({ ...seal, state: 'removed' as const }))
    expect(tidy({ ...keyring, seals }).records).toEqual([])
  })

  it('changes nothing a second time', async () => {
    const both = await enrolled(await begun(one), [two])
    const moved = await enrolled(rotated(rotated(both)), [two])
    const [first, second, third] = moved.keyring.generations
    if (first === undefined || second === undefined || third === undefined) throw new Error('no third generation')
    for (const states of [[0], [1], [0, 1]]) {
      const generations = moved.keyring.generations.map((each, index) =>
        states.includes(index) ? { ...each, state: 'retired' as const } : each,
      )
      const once = tidy(changed(moved, { generations }).keyring)
      expect(toHex(encodeContents(tidy(once)))).toBe(toHex(encodeContents(once)))
    }
  })
})
