import { toHex } from '@sealwright/testing-vectors'

import { encodeKeyring } from './codec.ts'
import { type Keyring } from './keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { putOnTop } from './testing/forger.ts'
import {
  begun,
  changed,
  codeNow,
  enrolled,
  opened,
  recordFor,
  recordsOf,
  retired,
  rotated,
  without,
  withRecord,
} from './testing/samples.ts'

const [one, two, three] = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('node-3')]
const encoded = (keyring: Keyring) => toHex(encodeKeyring(keyring))

/** Both members have a record in it. */
async function shared(): ReturnType<typeof enrolled> {
  return enrolled(await begun(one), [two])
}

describe('merging two keyrings of a cluster', () => {
  it('unites the records that nodes made on their own', async () => {
    const [mine, theirs] = [await begun(one), await begun(two)]
    const merged = (await opened(mine.keyring, one)).mergedWith(theirs.keyring)
    expect(merged.keyring).toMatchObject({ revision: 2 })
    expect(merged.keyring.members).toHaveLength(2)
    expect(merged.keyring.seals).toHaveLength(1)
    for (const member of [one, two]) expect((await opened(merged.keyring, member)).keyId).toBe(merged.keyId)
  })

  it('gives the same bytes on both nodes', async () => {
    const mine = await begun(one)
    const theirs = await enrolled(await begun(two), [three])
    const [here, there] = [await opened(mine.keyring, one), await opened(theirs.keyring, two)]
    expect(encoded(here.mergedWith(theirs.keyring).keyring)).toBe(encoded(there.mergedWith(mine.keyring).keyring))
  })

  it('changes nothing if the other one brings nothing new', async () => {
    const less = await begun(one)
    const more = await enrolled(less, [two])
    const open = await opened(more.keyring, one)
    expect(open.mergedWith(less.keyring)).toBe(open)
    expect(open.mergedWith(more.keyring)).toBe(open)
    expect(open.mergedWith(open)).toBe(open)
    expect((await opened(less.keyring, one)).mergedWith(more.keyring).keyring).toEqual(more.keyring)
  })

  it('leaves both as they were', async () => {
    const mine = await opened((await begun(one)).keyring, one)
    const theirs = await opened((await begun(two)).keyring, two)
    const before = [mine, theirs].map(({ keyring }) => encoded(keyring))
    mine.mergedWith(theirs)
    expect([mine, theirs].map(({ keyring }) => encoded(keyring))).toEqual(before)
  })

  it('refuses a changed keyring and one of another cluster', async () => {
    const open = await opened((await begun(one)).keyring, one)
    const forged = { ...(await begun(two)).keyring, revision: 9 }
    expect(codeNow(() => open.mergedWith(forged))).toBe('KEYRING_AUTH_FAILED')
    const foreign = await begun(one, 'other')
    expect(codeNow(() => open.mergedWith(foreign.keyring))).toBe('KEYRING_OTHER_CLUSTER')
    const openForeign = await opened(foreign.keyring, one)
    expect(codeNow(() => open.mergedWith(openForeign))).toBe('KEYRING_OTHER_CLUSTER')
  })

  it('refuses a generation that somebody put on top without a seal key', async () => {
    const mine = await begun(one)
    const forged = await putOnTop(mine, one)
    const open = await opened(mine.keyring, one)
    expect(codeNow(() => open.mergedWith(forged))).toBe('KEYRING_KEY_UNKNOWN')
    const generations = forged.generations.map(each =>
      each.number === 2 ? { ...each, state: 'pending' as const } : each,
    )
    expect(codeNow(() => open.mergedWith({ ...forged, generations }))).toBe('KEYRING_AUTH_FAILED')
  })
})

describe('what was removed', () => {
  it('does not come back from a keyring that does not know of it', async () => {
    const both = await shared()
    const open = await opened(without(both, two).keyring, one)
    const { keyring } = open.mergedWith(both.keyring)
    expect(keyring.members.map(({ state }) => state).sort()).toEqual(['active', 'removed'])
    expect(recordsOf(keyring, two)).toEqual([])
  })

  it('takes with it the records that another node made meanwhile', async () => {
    const both = await shared()
    const later = await enrolled(rotated(both), [two])
    const open = await opened(later.keyring, one)
    expect(recordsOf(open.mergedWith(without(both, two).keyring).keyring, two)).toEqual([])
  })

  it('wins over a change that was made at the same time, but not over a later one', async () => {
    const both = await shared()
    const gone = await opened(without(both, two).keyring, one)
    const renamed = await withRecord(both, recordFor(two, { label: 'new' }))
    const member = (keyring: Keyring) => keyring.members.find(({ memberId }) => toHex(memberId) === toHex(two.memberId))
    expect(member(gone.mergedWith(renamed.keyring).keyring)).toMatchObject({ state: 'removed', entryVersion: 2 })
    const again = await withRecord(renamed, recordFor(two, { label: 'newer' }))
    expect(member(gone.mergedWith(again.keyring).keyring)).toMatchObject({ state: 'active', entryVersion: 3 })
  })

  it('is too much if nobody could get in any more: such a merge is refused', async () => {
    const both = await shared()
    const [onlyOne, onlyTwo] = [without(both, two), without(both, one)]
    const open = await opened(onlyOne.keyring, one)
    expect(codeNow(() => open.mergedWith(onlyTwo.keyring))).toBe('KEYRING_NO_WAY_IN')
  })
})

describe('the names of seals', () => {
  const transit = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' })

  it('are those of the higher entry version', async () => {
    const mine = await begun(one)
    const named = (name: string, entryVersion: number) =>
      changed(mine, { seals: mine.keyring.seals.map(seal => ({ ...seal, name, entryVersion })) })
    const [second, third] = [named('a', 2), named('z', 3)]
    const open = await opened(mine.keyring, one)
    expect(open.mergedWith(second.keyring).mergedWith(third.keyring).keyring.seals[0]?.name).toBe('z')
    expect(open.mergedWith(third.keyring).mergedWith(second.keyring).keyring.seals[0]?.name).toBe('z')
  })

  it.each([
    ['peer', 'peer'],
    ['p'.repeat(64), 'p'.repeat(55)],
    ['!'.repeat(60), '!'.repeat(55)],
  ])('stay different: one of two seals that are called %s gets a longer name', async (name, kept) => {
    const mine = await begun(one)
    const more = await withRecord(mine, { ...transit, sealName: name })
    const renamed = changed(mine, { seals: mine.keyring.seals.map(seal => ({ ...seal, name, entryVersion: 2 })) })
    const open = await opened(more.keyring, one)
    const merged = open.mergedWith(renamed.keyring)
    const [first, second] = merged.keyring.seals
    const suffix = toHex(second?.sealId ?? new Uint8Array()).slice(0, 8)
    expect([first?.name, second?.name]).toEqual([name, `${kept}-${suffix}`])
    for (const side of [more, renamed]) expect(merged.mergedWith(side.keyring)).toBe(merged)
  })
})

describe('merging across a rotation', () => {
  it('adds what a node wrote that was offline during it', async () => {
    const before = await begun(one)
    const offline = await enrolled(before, [two])
    const { keyring } = rotated(before)
    const open = await opened(keyring, one)
    const merged = open.mergedWith(offline.keyring)
    expect(merged.current.number).toBe(2)
    expect((await opened(merged.keyring, two)).keyId).toBe(open.keyId)
    const behind = await opened(offline.keyring, two)
    expect(codeNow(() => behind.mergedWith(keyring))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('does not bring back what one side has retired', async () => {
    const before = await begun(one)
    const moved = await enrolled(rotated(before), [one])
    const [first] = moved.keyring.generations
    const open = await opened(first === undefined ? moved.keyring : retired(moved, first).keyring, one)
    const merged = open.mergedWith(await opened(moved.keyring, one))
    expect(merged.keyring).toEqual(open.keyring)
    expect(merged.keyIds).toHaveLength(2)
  })
})
