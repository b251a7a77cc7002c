import { authenticate } from './authenticate.ts'
import { deriveMacKey } from './key-schedule.ts'
import { type Keyring } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { proveRecords, type UnwrapInput } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { forgeRecord } from './testing/forger.ts'
import { codeOf, keyringOf, recordFor, rotated, sealIdOf, sealKeyNamed, signal, withRecord } from './testing/samples.ts'

const key = () => sealKeyNamed('k')

function inputOf(keyring: Keyring, member = fakeMember('a')): UnwrapInput {
  return { keyring, sealId: sealIdOf(keyring), member, signal }
}

/** One member with three records: two of generation 1, and one of generation 2. */
async function sampleKeyring(): Promise<Keyring> {
  const member = fakeMember('a')
  const { keyring } = rotated({ keyring: await keyringOf(member, key()), sealKey: key() })
  const two = await withRecord(keyring, key(), { ...recordFor(member, { slot: 1 }), generation: 1 })
  return await withRecord(two, key(), { ...recordFor(member), generation: 2 })
}

describe('proving the records of a member', () => {
  it('asks the member for each of them, once', async () => {
    const member = fakeMember('a')
    await expect(proveRecords(inputOf(await sampleKeyring(), member))).resolves.toBeUndefined()
    expect(member.unsealCount()).toBe(3)
  })

  it.each([0, 1, 2])(
    'finds out that record %i wraps another key, although its KEK unseals and the MAC fits',
    async index => {
      const member = fakeMember('a')
      const keyring = await sampleKeyring()
      const records = await Promise.all(
        keyring.records.map(async (record, position) => {
          if (position !== index) return record
          const forged = await forgeRecord(keyring, { member, sealKey: sealKeyNamed('another') }, record.generation)
          return { ...forged, slot: record.slot }
        }),
      )
      const contents = { ...keyring, currentGeneration: 1, records }
      const changed = authenticate(contents, deriveMacKey(key(), keyring.clusterId))
      const opening = codeOf(() => openKeyring(inputOf(changed)))
      await expect(opening).resolves.toBe(index === 0 ? 'KEYRING_RECORD_AUTH_FAILED' : 'none')
      await expect(codeOf(() => proveRecords(inputOf(changed)))).resolves.toBe('KEYRING_RECORD_AUTH_FAILED')
    },
  )

  it('stops at the first that does not open: a PIN that was refused is not sent again', async () => {
    const refusal = new Error('TPM_RC_AUTH_FAIL')
    const unsealKek = jest.fn(() => Promise.reject(refusal))
    const member = { ...fakeMember('a'), unsealKek }
    await expect(proveRecords({ ...inputOf(await sampleKeyring()), member })).rejects.toBe(refusal)
    expect(unsealKek).toHaveBeenCalledTimes(1)
  })

  it('says that a member has none', async () => {
    const keyring = await sampleKeyring()
    expect(await codeOf(() => proveRecords(inputOf(keyring, fakeMember('b'))))).toBe('KEYRING_NO_RECORD')
  })
})
