import { type Holding } from './add-generation.ts'
import { proveRecords, type UnwrapInput } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { evilRecord } from './testing/forger.ts'
import {
  begun,
  broken,
  changed,
  codeOf,
  enrolled,
  handingOut,
  opened,
  rotated,
  sealIdOf,
  signal,
} from './testing/samples.ts'

function inputOf({ keyring }: Holding, member = fakeMember('a')): UnwrapInput {
  return { keyring, sealId: sealIdOf(keyring), member, signal }
}

/** One member with four records: of two generations joined by a link, of one after a break, and of one that is pending. */
async function sample(): Promise<Holding> {
  const member = fakeMember('a')
  const linked = await enrolled(rotated(await begun(member)), [member])
  return await handingOut(await broken(linked, [member]), [member])
}

describe('proving the records of a member', () => {
  it('asks the member for each of them, once', async () => {
    const member = fakeMember('a')
    const holding = await sample()
    await expect(proveRecords(inputOf(holding, member))).resolves.toBeUndefined()
    expect(holding.keyring.records).toHaveLength(4)
    expect(member.unsealed).toHaveLength(4)
    for (const { kek } of member.unsealed) expect(() => kek.reveal(bytes => bytes)).toThrow(TypeError)
  })

  it.each([
    ['1', 'none'],
    ['2', 'none'],
    ['3', 'KEYRING_RECORD_AUTH_FAILED'],
    ['4', 'none'],
  ])(
    'finds out that the record of generation %s wraps another key, although its KEK unseals and the MAC fits',
    async (number, opening) => {
      const member = fakeMember('a')
      const holding = await sample()
      const { generations } = holding.keyring
      const records = await Promise.all(
        holding.keyring.records.map(async record => {
          const isIt = generations[Number(number) - 1]?.id.join() === record.generationId.join()
          return isIt ? evilRecord(holding.keyring, member, record) : record
        }),
      )
      const forged = changed(holding, { records })
      expect(await codeOf(() => opened(forged.keyring, member))).toBe(opening)
      expect(await codeOf(() => proveRecords(inputOf(forged)))).toBe('KEYRING_RECORD_AUTH_FAILED')
    },
  )

  it('finds out that no link from them holds which leads to the current one, and that the keyring was changed', async () => {
    const { keyring, sealKeys } = rotated(await begun(fakeMember('a')))
    const links = keyring.links.map(link => ({ ...link, wrappedKey: Uint8Array.from(link.wrappedKey).fill(7, -1) }))
    const damaged = changed({ keyring, sealKeys }, { links })
    expect(await codeOf(() => proveRecords(inputOf(damaged)))).toBe('KEYRING_LINK_BROKEN')
    const forged = { keyring: { ...keyring, revision: 99 }, sealKeys }
    expect(await codeOf(() => proveRecords(inputOf(forged)))).toBe('KEYRING_AUTH_FAILED')
  })

  it('asks for those alone that a change has made: others may be of somebody who had an old key', async () => {
    const holding = await sample()
    const { keyring } = holding
    const [first] = keyring.generations
    const records = await Promise.all(
      keyring.records.map(async record =>
        record.generationId.join() === first?.id.join() ? evilRecord(keyring, fakeMember('a'), record) : record,
      ),
    )
    const planted = changed(holding, { records })
    const renewed = await enrolled(planted, [fakeMember('a')])
    const member = fakeMember('a')
    const input = { ...inputOf(renewed, member), former: planted.keyring }
    await expect(proveRecords(input)).resolves.toBeUndefined()
    expect(member.unsealed).toHaveLength(1)
    expect(await codeOf(() => proveRecords(inputOf(renewed)))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })

  it('has the member open the keyring all the same if those are of old generations', async () => {
    const holding = await sample()
    const old = holding.keyring.generations[0]?.id ?? new Uint8Array()
    const records = holding.keyring.records.filter(({ generationId }) => generationId.join() !== old.join())
    const before = changed(holding, { records })
    const member = fakeMember('a')
    const input = { ...inputOf(await enrolled(before, [member], old), member), former: before.keyring }
    await expect(proveRecords(input)).resolves.toBeUndefined()
    expect(member.unsealed.length).toBeGreaterThan(1)
  })

  it('stops at the first that does not open: a PIN that was refused is not sent again', async () => {
    const refusal = new Error('TPM_RC_AUTH_FAIL')
    const unsealKek = jest.fn(() => Promise.reject(refusal))
    const member = { ...fakeMember('a'), unsealKek }
    await expect(proveRecords(inputOf(await sample(), member))).rejects.toBe(refusal)
    expect(unsealKek).toHaveBeenCalledTimes(1)
  })

  it('does not send it again either where opening would leave the record out', async () => {
    const holding = await sample()
    const real = fakeMember('a')
    const [current] = holding.keyring.records.filter(
      ({ generationId }) => generationId.join() === holding.keyring.generations[2]?.id.join(),
    )
    const asked: Uint8Array[] = []
    const member = {
      ...real,
      unsealKek: (...[sealedKek, options]: Parameters<typeof real.unsealKek>) => {
        asked.push(sealedKek)
        return sealedKek === current?.sealedKek
          ? real.unsealKek(sealedKek, options)
          : Promise.reject(new Error('TPM_RC_AUTH_FAIL'))
      },
    }
    await expect(proveRecords(inputOf(holding, member))).rejects.toThrow('TPM_RC_AUTH_FAIL')
    expect(asked).toHaveLength(2)
  })

  it('says that a member has none', async () => {
    expect(await codeOf(async () => proveRecords(inputOf(await sample(), fakeMember('b'))))).toBe('KEYRING_NO_RECORD')
  })
})
