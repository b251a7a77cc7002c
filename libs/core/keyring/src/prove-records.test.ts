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

  it('finds out that a link from one of them does not hold, and that the keyring was changed', async () => {
    const holding = await sample()
    const links = holding.keyring.links.map(link => ({
      ...link,
      wrappedKey: Uint8Array.from(link.wrappedKey).fill(7, -1),
    }))
    const newcomer = fakeMember('b')
    const one = holding.keyring.generations[0]
    const { keyring, sealKeys } = await enrolled(await enrolled(holding, [newcomer]), [newcomer], one?.id)
    const damaged = changed({ keyring, sealKeys }, { links })
    expect(await codeOf(() => proveRecords(inputOf(damaged, newcomer)))).toBe('KEYRING_LINK_BROKEN')
    const forged = { keyring: { ...keyring, revision: 99 }, sealKeys }
    expect(await codeOf(() => proveRecords(inputOf(forged, newcomer)))).toBe('KEYRING_AUTH_FAILED')
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
