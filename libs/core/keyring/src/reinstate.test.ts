import { type Holding } from './add-generation.ts'
import { type KeyringRecord } from './keyring.ts'
import { reinstateRecords } from './reinstate.ts'
import { fakeMember } from './testing/fake-member.ts'
import { evilRecord } from './testing/forger.ts'
import { begun, changed, codeNow, enrolled, opened, rotated, without } from './testing/samples.ts'

const [one, two] = [fakeMember('node-1'), fakeMember('node-2')]

async function both(): Promise<Holding> {
  return rotated(await enrolled(await begun(one), [two]))
}

/** With another record in the place of each, under the next entry version. */
async function spoilt(holding: Holding): Promise<Holding> {
  const records = await Promise.all(
    holding.keyring.records.map(async (record): Promise<KeyringRecord> => ({
      ...(await evilRecord(holding.keyring, one, record)),
      memberId: record.memberId,
      entryVersion: record.entryVersion + 1,
    })),
  )
  return changed(holding, { records })
}

describe('putting records back', () => {
  it('gives them the next entry version and asks nobody: their members open the keyring again', async () => {
    const before = await both()
    const after = await spoilt(before)
    const mine = before.keyring.records.filter(({ memberId }) => memberId.join() === two.memberId.join())
    const keyring = reinstateRecords({ ...after, records: mine })
    expect(keyring.revision).toBe(after.keyring.revision + 1)
    expect(keyring.records.map(({ entryVersion }) => entryVersion).sort()).toEqual([2, 3])
    await expect(opened(keyring, two)).resolves.toBeDefined()
    await expect(opened(keyring, one)).rejects.toMatchObject({ code: 'KEYRING_RECORD_AUTH_FAILED' })
    const united = (await opened(keyring, two)).mergedWith(after.keyring)
    expect(united.keyring).toEqual(keyring)
  })

  it('changes nothing where they are as they were, whatever their entry version, or where their place is empty', async () => {
    const before = await both()
    const { records } = before.keyring
    expect(reinstateRecords({ ...before, records })).toBe(before.keyring)
    const newer = changed(before, { records: records.map(each => ({ ...each, entryVersion: 7 })) })
    expect(reinstateRecords({ ...newer, records })).toBe(newer.keyring)
    const removed = without(before, two)
    expect(reinstateRecords({ ...removed, records })).toBe(removed.keyring)
  })

  it('is refused for a keyring that was changed', async () => {
    const before = await both()
    const keyring = { ...before.keyring, revision: 99 }
    expect(codeNow(() => reinstateRecords({ ...before, keyring, records: [] }))).toBe('KEYRING_AUTH_FAILED')
  })
})
