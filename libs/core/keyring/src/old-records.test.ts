import { toHex } from '@sealwright/testing-vectors'

import { sameBytes } from '@sealwright/bytes'
import { type Keyring, type KeyringRecord } from './keyring.ts'
import { type SealMember } from './seal.ts'
import { fakeMember, type FakeMember } from './testing/fake-member.ts'
import {
  begun,
  broken,
  changed,
  enrolled,
  handingOut,
  heldBy,
  pending,
  rotated,
  rotatedAtOnce,
  unwrap,
} from './testing/samples.ts'

type Unseal = SealMember['unsealKek']

/** The member, which does something else with the KEKs of the records of some generations. */
function disturbed(
  member: FakeMember,
  { records, generations }: Keyring,
  { numbers, instead }: { readonly numbers: readonly number[]; readonly instead: Unseal },
): FakeMember {
  const numberOf = ({ generationId }: KeyringRecord) =>
    generations.find(({ id }) => sameBytes(id, generationId))?.number ?? 0
  return {
    ...member,
    unsealKek: (sealedKek, options) => {
      const record = records.find(each => sameBytes(each.sealedKek, sealedKek))
      return record !== undefined && numbers.includes(numberOf(record))
        ? instead(sealedKek, options)
        : member.unsealKek(sealedKek, options)
    },
  }
}

/** Generations 1 and 2 by a link, 3 after a break; the member has a record of each. */
async function threeRecords(member: FakeMember): Promise<Keyring> {
  const second = await enrolled(rotated(await begun(member)), [member])
  return (await broken(second, [member])).keyring
}

const fails: Unseal = () => Promise.reject(new Error('TPM_RC_POLICY_FAIL'))

describe('a record of an old generation', () => {
  it('is not opened if links lead there from another one', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['1', '2', '3'])
    expect(member.unsealed).toHaveLength(2)
  })

  it('is left out if it does not open: the keyring opens without it', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    const forgetful = disturbed(member, keyring, { numbers: [1, 2], instead: fails })
    expect(heldBy(keyring, await unwrap(keyring, forgetful))).toEqual(['3'])
  })

  it('is not missed because of one that would have led to it, but does not open', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    const forgetful = disturbed(member, keyring, { numbers: [1], instead: fails })
    expect(heldBy(keyring, await unwrap(keyring, forgetful))).toEqual(['2', '3'])
  })

  it('is left out if the member gives the KEK of another record for it', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    const other = await begun(member, 'other')
    const foreign: Unseal = (_sealedKek, options) =>
      member.unsealKek(other.keyring.records[0]?.sealedKek ?? new Uint8Array(), options)
    const confused = disturbed(member, keyring, { numbers: [1, 2], instead: foreign })
    expect(heldBy(keyring, await unwrap(keyring, confused))).toEqual(['3'])
    for (const { kek } of member.unsealed) expect(() => kek.reveal(bytes => bytes)).toThrow(TypeError)
  })

  it('adds what it leads to but for what a link that does not hold would have led to', async () => {
    const member = fakeMember('a')
    // Both encrypt: one that is pending would not outlast the break.
    const holding = await broken(rotatedAtOnce(await begun(member)), [member])
    const [one, two] = holding.keyring.links
    if (one === undefined || two === undefined) throw new Error('no two links')
    const damaged = { ...two, wrappedKey: Uint8Array.from(two.wrappedKey).fill(7, -1) }
    const { keyring } = changed(holding, { links: [one, damaged] })
    const held = await unwrap(keyring, member)
    const lost = keyring.generations.filter(({ id }) => !held.has(id))
    expect(lost.map(({ id }) => toHex(id))).toEqual([toHex(two.toId)])
    expect(heldBy(holding.keyring, await unwrap(holding.keyring, member))).toHaveLength(4)
  })

  it('does not hide an abort, which passes through with its reason', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    const abort = new AbortController()
    const aborted = disturbed(member, keyring, {
      numbers: [1],
      instead: () => {
        abort.abort(new Error('shutting down'))
        return Promise.reject(new Error('TPM_RC_CANCELED'))
      },
    })
    await expect(unwrap(keyring, aborted, { signal: abort.signal })).rejects.toThrow('shutting down')
  })

  it('comes after the one that leads to the current generation, whichever is older', async () => {
    const member = fakeMember('a')
    const keyring = await threeRecords(member)
    const never = disturbed(member, keyring, { numbers: [3], instead: fails })
    await expect(unwrap(keyring, never)).rejects.toThrow('TPM_RC_POLICY_FAIL')
    expect(member.unsealed).toEqual([])
  })
})

describe('a record of a pending generation', () => {
  it('is not opened: no blob names it', async () => {
    const member = fakeMember('a')
    const { keyring } = await handingOut(await begun(member), [fakeMember('a')])
    expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['1'])
    expect(member.unsealed).toHaveLength(1)
  })

  it('is not needed if a link leads there', async () => {
    const member = fakeMember('a')
    const { keyring } = pending(await begun(member))
    expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['1', '2'])
  })
})

describe('a record of a sibling that did not win', () => {
  it('adds its generation for a member that has none of the one before both', async () => {
    const newcomer = fakeMember('b')
    let holding = rotatedAtOnce(await begun(fakeMember('a')))
    for (const { id } of holding.keyring.generations.slice(1)) holding = await enrolled(holding, [newcomer], id)
    expect(heldBy(holding.keyring, await unwrap(holding.keyring, newcomer))).toEqual(['2a', '2b'])
    expect(newcomer.unsealed).toHaveLength(2)
  })
})
