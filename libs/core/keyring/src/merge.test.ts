import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { addGeneration } from './add-generation.ts'
import { authenticate } from './authenticate.ts'
import { encodeContents, encodeKeyring } from './codec.ts'
import { deriveMacKey } from './key-schedule.ts'
import { type Keyring, type KeyringContents } from './keyring.ts'
import { mergeContents } from './merge.ts'
import { makeLink } from './link.ts'
import { openKeyring, OpenKeyring } from './open-keyring.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { putOnTop } from './testing/forger.ts'
import {
  broken,
  codeNow,
  keyringOf,
  recordFor,
  sealIdOf,
  sealKeyNamed,
  signal,
  surroundings,
  withRecord,
} from './testing/samples.ts'

const key = () => sealKeyNamed('k')
const [one, two, three] = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('node-3')]
const { randomBytes } = surroundings

function opened(keyring: Keyring): OpenKeyring {
  return new OpenKeyring(keyring, matchSealKey({ keyring, sealKey: key() }))
}

function changed(keyring: Keyring, change: Partial<KeyringContents>, sealKey = key()): Keyring {
  return authenticate({ ...keyring, ...change }, deriveMacKey(sealKey, keyring.clusterId))
}

function rotated(keyring: Keyring): ReturnType<typeof addGeneration> {
  const sealKeys = matchSealKey({ keyring, sealKey: key() })
  return addGeneration({ keyring, sealKeys, randomBytes })
}

/** The same keyring without one member: its entry is kept as removed. */
function without(keyring: Keyring, memberId: Uint8Array): Keyring {
  const isOther = (entry: { readonly memberId: Uint8Array }) => toHex(entry.memberId) !== toHex(memberId)
  return changed(keyring, {
    revision: keyring.revision + 1,
    members: keyring.members.map(member =>
      isOther(member)
        ? member
        : {
            ...member,
            state: 'removed',
            entryVersion: member.entryVersion + 1,
            wrappingKey: new Uint8Array(),
            data: new Uint8Array(),
          },
    ),
    records: keyring.records.filter(isOther),
  })
}

describe('merging two keyrings of a cluster', () => {
  it('unites the records that nodes made on their own', async () => {
    const mine = await keyringOf(one, key())
    const theirs = await keyringOf(two, key())
    const merged = opened(mine).mergedWith(theirs)
    expect(merged.records).toHaveLength(2)
    expect(merged.members).toHaveLength(2)
    expect(merged.seals).toHaveLength(1)
    expect(merged.revision).toBe(2)
    expect(opened(merged).isAuthentic(mine)).toBe(true)
  })

  it('gives the same bytes on both nodes', async () => {
    const mine = await keyringOf(one, key())
    const theirs = await withRecord(await keyringOf(two, key()), key(), { ...recordFor(three), generation: 1 })
    expect(toHex(encodeKeyring(opened(mine).mergedWith(theirs)))).toBe(
      toHex(encodeKeyring(opened(theirs).mergedWith(mine))),
    )
  })

  it('changes nothing if the other brings nothing new', async () => {
    const mine = await keyringOf(one, key())
    const more = await withRecord(mine, key(), { ...recordFor(two), generation: 1 })
    expect(opened(more).mergedWith(mine)).toEqual(more)
    expect(opened(mine).mergedWith(more)).toEqual(more)
    expect(opened(mine).mergedWith(mine)).toEqual(mine)
  })

  it('does not bring a removed member back', async () => {
    const both = await withRecord(await keyringOf(one, key()), key(), { ...recordFor(two), generation: 1 })
    const merged = opened(without(both, two.memberId)).mergedWith(both)
    expect(merged.records).toHaveLength(1)
    expect(merged.members.map(({ state }) => state).sort()).toEqual(['active', 'removed'])
  })

  it('lets the later of two names win', async () => {
    const mine = await keyringOf(one, key())
    const renamed = changed(mine, { seals: mine.seals.map(seal => ({ ...seal, name: 'a', entryVersion: 2 })) })
    const again = changed(mine, { seals: mine.seals.map(seal => ({ ...seal, name: 'z', entryVersion: 3 })) })
    expect(opened(again).mergedWith(renamed).seals[0]?.name).toBe('z')
    expect(opened(renamed).mergedWith(mine).seals[0]?.name).toBe('a')
  })

  it('refuses to leave nobody in', async () => {
    const both = await withRecord(await keyringOf(one, key()), key(), { ...recordFor(two), generation: 1 })
    const [onlyOne, onlyTwo] = [without(both, two.memberId), without(both, one.memberId)]
    expect(codeNow(() => opened(onlyOne).mergedWith(onlyTwo))).toBe('KEYRING_NO_WAY_IN')
  })

  it('refuses two seals of one name', async () => {
    const mine = await keyringOf(one, key())
    const transit = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' })
    const more = await withRecord(mine, key(), { ...transit, generation: 1 })
    const renamed = changed(mine, { seals: mine.seals.map(seal => ({ ...seal, name: 'peer', entryVersion: 2 })) })
    expect(codeNow(() => opened(more).mergedWith(renamed))).toBe('KEYRING_DIVERGED')
  })

  it('refuses a changed keyring and one of another cluster', async () => {
    const mine = await keyringOf(one, key())
    const forged = { ...(await keyringOf(two, key())), revision: 9 }
    expect(codeNow(() => opened(mine).mergedWith(forged))).toBe('KEYRING_AUTH_FAILED')
    const foreign = await keyringOf(two, sealKeyNamed('other'))
    expect(codeNow(() => opened(mine).mergedWith(foreign))).toBe('KEYRING_OTHER_CLUSTER')
  })
})

describe('merging across a rotation', () => {
  it('adds what a node wrote that was offline during it', async () => {
    const before = await keyringOf(one, key())
    const { keyring } = rotated(before)
    const offline = await withRecord(before, key(), { ...recordFor(two), generation: 1 })
    const merged = opened(keyring).mergedWith(offline)
    expect(merged.currentGeneration).toBe(2)
    expect(merged.records).toHaveLength(2)
    expect(codeNow(() => opened(offline).mergedWith(keyring))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('refuses two nodes that rotated at once', async () => {
    const before = await keyringOf(one, key())
    const [mine, theirs] = [rotated(before).keyring, rotated(before).keyring]
    expect(codeNow(() => opened(mine).mergedWith(theirs))).toBe('KEYRING_AUTH_FAILED')
    const pending = changed(theirs, { currentGeneration: 1 })
    expect(codeNow(() => opened(mine).mergedWith(pending))).toBe('KEYRING_DIVERGED')
  })

  it('refuses the word of a key that was given up: the chain to it is broken', async () => {
    const before = await keyringOf(one, key())
    const { keyring } = await broken({ keyring: before, sealKey: key() }, [one])
    const open = await openKeyring({ keyring, sealId: sealIdOf(keyring), member: one, signal })
    const intruder = await withRecord(before, key(), { ...recordFor(two), generation: 1 })
    expect(codeNow(() => open.mergedWith(intruder))).toBe('KEYRING_DIVERGED')
    expect(codeNow(() => open.isAuthentic(intruder))).toBe('KEYRING_DIVERGED')
  })

  it('does not mend a chain that was broken on purpose', async () => {
    const { keyring: linked, sealKey } = rotated(await keyringOf(one, key()))
    const [from, to] = linked.generations
    if (from === undefined || to === undefined) throw new Error('no second generation')
    const ends = { clusterId: linked.clusterId, from, to }
    const endorsement = makeLink({ kind: 'endorsement', nextSealKey: sealKey, sealKey: key(), ends, randomBytes })
    const renewed = await withRecord(linked, sealKey, { ...recordFor(one), generation: 2 })
    const cut = changed(renewed, { links: [endorsement] }, sealKey)
    const openCut = await openKeyring({ keyring: cut, sealId: sealIdOf(cut), member: one, signal })
    expect(openCut.mergedWith(renewed).links).toEqual([endorsement])
    expect(opened(renewed).mergedWith(cut).links).toEqual([endorsement])
  })

  it('does not let in a generation that somebody put on top without a seal key', async () => {
    const mine = await keyringOf(one, key())
    const forged = await putOnTop(mine, { member: one, sealKey: sealKeyNamed('evil'), link: 'wrapped-key' })
    expect(codeNow(() => opened(mine).mergedWith(forged))).toBe('KEYRING_KEY_UNKNOWN')
    expect(codeNow(() => opened(mine).isAuthentic(forged))).toBe('KEYRING_KEY_UNKNOWN')
    const { keyring: rightful } = rotated(mine)
    expect(codeNow(() => opened(rightful).mergedWith(forged))).toBe('KEYRING_AUTH_FAILED')
    expect(opened(rightful).isAuthentic(forged)).toBe(false)
    const pending = { ...forged, currentGeneration: 1 }
    expect(codeNow(() => opened(mine).mergedWith(pending))).toBe('KEYRING_AUTH_FAILED')
  })

  it('forgets generations that one side has retired', async () => {
    const before = await keyringOf(one, key())
    const { keyring, sealKey } = rotated(before)
    const renewed = await withRecord(keyring, sealKey, { ...recordFor(one), generation: 2 })
    const retired = changed(
      renewed,
      {
        revision: 9,
        generations: renewed.generations.slice(1),
        records: renewed.records.filter(({ generation }) => generation === 2),
        links: [],
      },
      sealKey,
    )
    const merged = new OpenKeyring(retired, matchSealKey({ keyring: retired, sealKey })).mergedWith(renewed)
    expect(merged).toEqual(retired)
  })
})

describe('the merge of contents', () => {
  /** Every keyring that a choice of members, names and entry versions gives. */
  async function variants(): Promise<readonly KeyringContents[]> {
    let all = await keyringOf(one, key())
    for (const member of [two, three]) all = await withRecord(all, key(), { ...recordFor(member), generation: 1 })
    const anchor = toHex(one.memberId)
    return [0, 1, 2, 3].flatMap(chosen =>
      [1, 2].flatMap(entryVersion =>
        ['tpm', 'renamed'].map(
          name =>
            ({
              ...all,
              revision: entryVersion + chosen,
              seals: all.seals.map(seal => ({ ...seal, name, entryVersion })),
              members: all.members.map((member, index) => ({
                ...member,
                state: toHex(member.memberId) === anchor || ((chosen >> index) & 1) === 0 ? 'active' : 'removed',
                entryVersion: entryVersion + ((chosen >> index) & 1),
              })),
              records: all.records.filter(
                ({ memberId }, index) => toHex(memberId) === anchor || ((chosen >> index) & 1) === 0,
              ),
            }) satisfies KeyringContents,
        ),
      ),
    )
  }

  /** Everything but the revision, which counts merges. */
  const view = (contents: KeyringContents) => toHex(encodeContents({ ...contents, revision: 1 }))

  it('does not depend on order, nor on repetition', async () => {
    const contents = fc.constantFrom(...(await variants()))
    fc.assert(
      fc.property(contents, contents, contents, (a, b, c) => {
        expect(toHex(encodeContents(mergeContents(a, b)))).toBe(toHex(encodeContents(mergeContents(b, a))))
        expect(view(mergeContents(mergeContents(a, b), c))).toBe(view(mergeContents(a, mergeContents(b, c))))
        expect(toHex(encodeContents(mergeContents(a, a)))).toBe(toHex(encodeContents(a)))
        const merged = mergeContents(a, b)
        expect(toHex(encodeContents(mergeContents(merged, b)))).toBe(toHex(encodeContents(merged)))
      }),
      { numRuns: 300 },
    )
  })
})
