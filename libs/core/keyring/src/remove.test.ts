import { findSeal, type Generation } from './keyring.ts'
import { compareGenerations, rootGenerations } from './lineage.ts'
import { removeMember, removeSeal } from './remove.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
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

  it('can be let in again', async () => {
    const before = await enrolled(await begun(one), [two])
    const place = { sealId: idOf(before.keyring, 'tpm'), memberId: two.memberId }
    const gone = { ...before, keyring: removeMember({ ...before, place }) }
    const again = await enrolled(gone, [two])
    expect((await opened(gone.keyring, one)).mergedWith(again.keyring).keyring).toEqual(again.keyring)
    await expect(opened(again.keyring, two)).resolves.toBeDefined()
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
})
