import { matchSealKey } from './seal-keys.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type Holding } from './add-generation.ts'
import { relabelMember } from './relabel.ts'
import { removeMember } from './remove.ts'
import { fakeMember } from './testing/fake-member.ts'
import { withMembers } from './testing/flood.ts'
import { begun, changed, codeNow, enrolled, opened, rotated, sealIdOf, sealKeyNamed } from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]
const placeOf = ({ keyring }: Holding, { memberId } = one) => ({ sealId: sealIdOf(keyring), memberId })
const labels = ({ keyring }: Pick<Holding, 'keyring'>) => keyring.members.map(({ label }) => label)

describe('a member that is called otherwise', () => {
  it('keeps its records and its place, and opens as before', async () => {
    const before = rotated(await begun(one))
    const keyring = relabelMember({ ...before, place: placeOf(before), label: 'node-b' })
    expect(keyring).toEqual({
      ...before.keyring,
      revision: before.keyring.revision + 1,
      members: before.keyring.members.map(member => ({ ...member, label: 'node-b', entryVersion: 2 })),
      mac: keyring.mac,
    })
    expect(decodeKeyring(encodeKeyring(keyring))).toEqual(keyring)
    // To open it is to check its MAC.
    expect((await opened(keyring, one)).current.number).toBe(2)
    expect(
      codeNow(() => matchSealKey({ keyring: { ...keyring, mac: before.keyring.mac }, sealKey: sealKeyNamed('k') })),
    ).toBe('KEYRING_AUTH_FAILED')
  })

  it('wins a merge with what still has the old label, from either side, and with an older other one', async () => {
    const before = await enrolled(await begun(one), [two])
    const place = placeOf(before)
    const first = { ...before, keyring: relabelMember({ ...before, place, label: 'node-z' }) }
    const second = { ...first, keyring: relabelMember({ ...first, place, label: 'node-b' }) }
    for (const older of [before, first]) {
      expect((await opened(older.keyring, one)).mergedWith(second.keyring).keyring).toEqual(second.keyring)
      expect((await opened(second.keyring, one)).mergedWith(older.keyring).keyring).toEqual(second.keyring)
    }
    expect([...labels(second)].sort()).toEqual(['node', 'node-b'])
  })

  it('is the same keyring where it is called so already', async () => {
    const before = await begun(one)
    expect(relabelMember({ ...before, place: placeOf(before), label: 'node' })).toBe(before.keyring)
  })

  it.each(['', 'two words', 'é', 'a'.repeat(65)])('is never called %j', async label => {
    const before = await begun(one)
    expect(codeNow(() => relabelMember({ ...before, place: placeOf(before), label }))).toBe('KEYRING_INPUT_INVALID')
  })

  it('is one that is listed and was not removed', async () => {
    const before = await enrolled(await begun(one), [two])
    const place = placeOf(before, two)
    const gone = { ...before, keyring: removeMember({ ...before, place }) }
    expect(codeNow(() => relabelMember({ ...gone, place, label: 'node-b' }))).toBe('KEYRING_INPUT_INVALID')
    const stranger = placeOf(before, fakeMember('nobody'))
    expect(codeNow(() => relabelMember({ ...before, place: stranger, label: 'node-b' }))).toBe('KEYRING_INPUT_INVALID')
  })

  it('is not in a keyring that somebody has changed', async () => {
    const before = await begun(one)
    const forged = { ...before.keyring, mac: new Uint8Array(32) }
    const place = placeOf(before)
    expect(codeNow(() => relabelMember({ ...before, keyring: forged, place, label: 'node-b' }))).toBe(
      'KEYRING_AUTH_FAILED',
    )
  })

  it('does not take the room of a break, and may be called by a shorter name while there is none', async () => {
    const before = withMembers(await begun(one), 70, { data: new Uint8Array(8_192) })
    const place = placeOf(before)
    expect(codeNow(() => relabelMember({ ...before, place, label: 'node-b' }))).toBe('KEYRING_NO_ROOM')
    expect(codeNow(() => relabelMember({ ...before, place, label: 'b' }))).toBe('none')
  })

  it('may be called otherwise as often as an entry can change, and no more', async () => {
    const before = await begun(one)
    const changedOften = (entryVersion: number) =>
      changed(before, { members: before.keyring.members.map(member => ({ ...member, entryVersion })) })
    const place = placeOf(before)
    const relabelled = (holding: Holding) => codeNow(() => relabelMember({ ...holding, place, label: 'node-b' }))
    expect(relabelled(changedOften(2 ** 32 - 2))).toBe('none')
    expect(relabelled(changedOften(2 ** 32 - 1))).toBe('KEYRING_MALFORMED')
  })
})
