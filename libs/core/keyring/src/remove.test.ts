import fc from 'fast-check'

import { hex, sameBytes } from '@sealwright/bytes'
import { findSeal, type Generation, type Keyring } from './keyring.ts'
import { compareGenerations, reachableFrom, rootGenerations } from './lineage.ts'
import { removeMember, removeMembers, removeSeal } from './remove.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withChain, withGenerations } from './testing/flood.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
  heldBy,
  opened,
  pending,
  recordFor,
  retired,
  rotated,
  unwrap,
  withRecord,
} from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]
const token = fakeMember('token', 'pkcs11')
const inToken = recordFor(token, { sealName: 'hsm', method: 'pkcs11-aes-gcm' })

function idOf(keyring: Parameters<typeof findSeal>[0], name: string): Uint8Array {
  const seal = findSeal(keyring, name)
  if (seal === undefined) throw new Error(`no seal ${name}`)
  return seal.sealId
}

describe('a member that is removed', () => {
  it('opens no more, and a merge does not bring it back', async () => {
    const before = await enrolled(await begun(one), [two])
    const place = { sealId: idOf(before.keyring, 'tpm'), memberId: two.memberId }
    const keyring = removeMember({ ...before, place })
    expect(await codeOf(() => unwrap(keyring, two))).toBe('KEYRING_NO_RECORD')
    expect((await opened(before.keyring, one)).mergedWith(keyring).keyring).toEqual(keyring)
    expect(codeNow(() => removeMember({ ...before, keyring, place }))).toBe('KEYRING_INPUT_INVALID')
  })

  it('is never the last one', async () => {
    const only = await begun(one)
    const place = { sealId: idOf(only.keyring, 'tpm'), memberId: one.memberId }
    expect(codeNow(() => removeMember({ ...only, place }))).toBe('KEYRING_NO_WAY_IN')
  })

  it('is never the last one of an older generation that blobs may still name', async () => {
    const next = await broken(await enrolled(await begun(one), [two]), [two])
    const only = {
      ...next,
      keyring: removeMember({ ...next, place: { sealId: idOf(next.keyring, 'tpm'), memberId: one.memberId } }),
    }
    await expect(opened(only.keyring, two)).resolves.toBeDefined()
    const late = await enrolled(await broken(await begun(one), [one]), [two])
    const place = { sealId: idOf(late.keyring, 'tpm'), memberId: one.memberId }
    expect(codeNow(() => removeMember({ ...late, place }))).toBe('KEYRING_NO_WAY_IN')
  })

  it('is removed, too, where it alone opens a generation beside the lineage: a stranger cannot make themselves indispensable', async () => {
    const now = rotated(rotated(await begun(one)))
    // Somebody with the first key makes a generation that nothing leads to, and a record of it for themselves.
    const { generation, sealKeys } = pending(await begun(one))
    const beside: Generation = { ...generation, state: 'active' }
    const generations = [...now.keyring.generations, beside].sort(compareGenerations)
    const theirs = now.sealKeys.with(generation.id, sealKeys.of(generation.id).clone())
    const planted = await enrolled({ ...changed(now, { generations }), sealKeys: theirs }, [two], generation.id)
    const place = { sealId: idOf(planted.keyring, 'tpm'), memberId: two.memberId }
    const without = removeMember({ keyring: planted.keyring, sealKeys: now.sealKeys, place })
    expect(without.records).toHaveLength(1)
    expect((await opened(without, one)).current.number).toBe(3)
    expect(codeNow(() => removeMember({ ...planted, place }))).toBe('KEYRING_NO_WAY_IN')
  })

  it('is removed, too, where it alone opens a generation of the lineage whose key nobody has here', async () => {
    // Somebody with the first key leaves out the link to their generation, and goes on from it with a record for the TPM.
    const theirs = rotated(await begun(one))
    const { id } = theirs.generation
    const links = (keyring: Keyring) => keyring.links.filter(({ toId }) => !sameBytes(toId, id))
    const after = await enrolled(await enrolled(rotated(theirs), [one]), [two], id)
    const planted = changed(after, { links: links(after.keyring) }).keyring
    const sealKeys = await unwrap(planted, one)
    expect(heldBy(planted, sealKeys)).toEqual(['1', '3'])
    const sealId = idOf(planted, 'tpm')
    const without = removeMember({ keyring: planted, sealKeys, place: { sealId, memberId: two.memberId } })
    expect((await opened(without, one)).current.number).toBe(3)
  })

  it('can be let in again', async () => {
    const before = await enrolled(await begun(one), [two])
    const place = { sealId: idOf(before.keyring, 'tpm'), memberId: two.memberId }
    const gone = { ...before, keyring: removeMember({ ...before, place }) }
    const again = await enrolled(gone, [two])
    expect((await opened(gone.keyring, one)).mergedWith(again.keyring).keyring).toEqual(again.keyring)
    await expect(opened(again.keyring, two)).resolves.toBeDefined()
  })
})

describe('members that are removed together', () => {
  const three = fakeMember('node-3')

  it('leave as one after the other would, in one revision', async () => {
    const before = await enrolled(await begun(one), [two, three])
    const sealId = idOf(before.keyring, 'tpm')
    const places = [two, three].map(({ memberId }) => ({ sealId, memberId }))
    const together = removeMembers({ ...before, places: [...places, ...places] })
    let single = before.keyring
    for (const place of places) single = removeMember({ ...before, keyring: single, place })
    expect(together).toEqual({ ...single, revision: before.keyring.revision + 1, mac: together.mac })
    await expect(opened(together, one)).resolves.toBeDefined()
    expect(removeMembers({ ...before, places: [] })).toBe(before.keyring)
  })

  it('all stay if one of them is not listed, or if nobody else would open', async () => {
    const before = await enrolled(await begun(one), [two])
    const sealId = idOf(before.keyring, 'tpm')
    const places = [one, two].map(({ memberId }) => ({ sealId, memberId }))
    expect(codeNow(() => removeMembers({ ...before, places }))).toBe('KEYRING_NO_WAY_IN')
    const strange = [
      { sealId, memberId: two.memberId },
      { sealId, memberId: three.memberId },
    ]
    expect(codeNow(() => removeMembers({ ...before, places: strange }))).toBe('KEYRING_INPUT_INVALID')
  })
})

describe('a seal that is removed', () => {
  it('takes all its members along, and never the last way in', async () => {
    const before = await withRecord(await enrolled(await begun(one), [two]), inToken)
    const keyring = removeSeal({ ...before, sealId: idOf(before.keyring, 'tpm') })
    expect(keyring.members.filter(({ state }) => state === 'active')).toHaveLength(1)
    expect(keyring.records).toHaveLength(1)
    expect(findSeal(keyring, 'tpm')).toBeUndefined()
    const last = { ...before, keyring }
    expect(codeNow(() => removeSeal({ ...last, sealId: idOf(keyring, 'hsm') }))).toBe('KEYRING_NO_WAY_IN')
    expect(codeNow(() => removeSeal({ ...last, sealId: idOf(before.keyring, 'tpm') }))).toBe('KEYRING_INPUT_INVALID')
  })

  it('stays while it alone opens a generation of the lineage whose key nobody has here: that one is retired first', async () => {
    const before = await broken(await withRecord(await begun(one), inToken), [two])
    const { generations } = before.keyring
    const keyring = removeMember({ ...before, place: { sealId: idOf(before.keyring, 'tpm'), memberId: one.memberId } })
    const later = { keyring, sealKeys: await unwrap(keyring, two) }
    const sealId = idOf(keyring, 'hsm')
    expect(heldBy(keyring, later.sealKeys)).toEqual(['2'])
    expect(codeNow(() => removeSeal({ ...later, sealId }))).toBe('KEYRING_NO_WAY_IN')
    expect(() => removeSeal({ ...later, sealId })).toThrow(/nobody here has the key of 1 .*sealctl rotate retire/)
    const [first] = generations
    if (first === undefined) throw new Error('no generation')
    const after = removeSeal({ ...retired(later, first), sealId })
    expect((await opened(after, two)).current.number).toBe(2)
  })
})

describe('a removed seal that comes back', () => {
  it('has none of the members that somebody has listed meanwhile', async () => {
    const before = await withRecord(await begun(one), inToken)
    const sealId = idOf(before.keyring, 'hsm')
    const gone = removeSeal({ ...before, sealId })
    const members = gone.members.map(member =>
      sameBytes(member.sealId, sealId) ? { ...member, state: 'active' as const, entryVersion: 9 } : member,
    )
    const planted = changed({ ...before, keyring: gone }, { members })
    const newcomer = fakeMember('token 2', 'pkcs11')
    const { keyring } = await withRecord(planted, { ...inToken, member: newcomer })
    const listed = keyring.members.filter(member => sameBytes(member.sealId, sealId))
    expect(listed).toHaveLength(2)
    expect(listed.filter(({ state }) => state === 'active')).toMatchObject([{ memberId: newcomer.memberId }])
    expect(findSeal(keyring, 'hsm')).toMatchObject({ sealId })
  })
})

describe('the generations that a new member needs records of', () => {
  it('are the oldest active one of each chain', async () => {
    const first = await begun(one)
    expect(rootGenerations(first.keyring).map(({ number }) => number)).toEqual([1])
    const second = rotated(first)
    const third = rotated(second)
    expect(rootGenerations(third.keyring).map(({ number }) => number)).toEqual([1])
    const [oldest] = third.keyring.generations
    if (oldest === undefined) throw new Error('no generation')
    expect(rootGenerations(retired(third, oldest).keyring).map(({ number }) => number)).toEqual([2])
    const fourth = await broken(third, [one])
    expect(rootGenerations(fourth.keyring).map(({ number }) => number)).toEqual([1, 4])
  })

  it('are those alone that no links lead to from another active one, however the links are and whoever is retired', async () => {
    const { keyring } = withChain(await begun(one), 8)
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 17, maxLength: 17 }), choices => {
        const generations = keyring.generations.map((each, index) => {
          const isRetired = index < 8 && choices[index] === true
          return { ...each, state: isRetired ? ('retired' as const) : each.state }
        })
        const contents = { ...keyring, generations, links: keyring.links.filter((_link, index) => choices[8 + index]) }
        const active = generations.filter(({ state }) => state === 'active')
        const leads = (from: Generation, to: Generation) =>
          from !== to && reachableFrom(contents, from.id).has(hex(to.id))
        expect(rootGenerations(contents)).toEqual(active.filter(to => !active.some(from => leads(from, to))))
      }),
    )
  })

  it('are found among as many as somebody has planted', async () => {
    const planted = withGenerations(await begun(one), 215, { step: 'chained' }).keyring.generations
    const { keyring } = withChain(await begun(one), 8)
    const all = [...keyring.generations, ...planted.filter(({ number }) => number === 2)].sort(compareGenerations)
    const contents = { ...keyring, generations: all.map(each => ({ ...each, state: 'active' as const })) }
    expect(rootGenerations(contents)).toHaveLength(216)
  })
})
