import { toHex } from '@sealwright/testing-vectors'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { type Keyring, type KeyringRecord } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  activated,
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
  handingOut,
  heldBy,
  opened,
  pending,
  rotated,
  sealKeyNamed,
  surroundings,
  unwrap,
} from './testing/samples.ts'

const aad = new Uint8Array()

/** The records of the generations of one number. */
function recordsFrom({ generations, records }: Keyring, number: number): readonly KeyringRecord[] {
  const ids = generations.filter(each => each.number === number).map(({ id }) => toHex(id))
  return records.filter(({ generationId }) => ids.includes(toHex(generationId)))
}

describe('a chain that was broken on purpose', () => {
  it('opens with two records, one unsealing for each part, and decrypts the blobs of both', async () => {
    const before = await begun(fakeMember('a'))
    const { keyring } = await broken(before, [fakeMember('a')])
    const opener = fakeMember('a')
    const open = await opened(keyring, opener)
    expect(open.keyIds).toEqual(keyring.generations.map(({ keyId }) => keyId))
    expect(opener.unsealed).toHaveLength(2)
    const old = await opened(before.keyring, fakeMember('a'))
    const blob = old.encryptBlob({ plaintext: Uint8Array.of(1), aad, ...surroundings })
    expect(open.decryptBlob({ blob, aad })).toEqual(Uint8Array.of(1))
  })

  it('leaves out who has no new record, without asking', async () => {
    const [member, leftBehind] = [fakeMember('a'), fakeMember('b')]
    const { keyring } = await broken(await enrolled(await begun(member), [leftBehind]), [member])
    expect(await codeOf(() => unwrap(keyring, leftBehind))).toBe('KEYRING_LINK_BROKEN')
    expect(leftBehind.unsealed).toEqual([])
  })

  it('cannot be crossed with a plain key from before it', async () => {
    const member = fakeMember('a')
    const { keyring } = await broken(await begun(member), [member])
    expect(codeNow(() => matchSealKey({ keyring, sealKey: sealKeyNamed('k') }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('goes on by links, and may be broken again', async () => {
    const member = fakeMember('a')
    const { keyring } = await broken(rotated(await broken(await begun(member), [member])), [member])
    expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['1', '2', '3', '4'])
    expect(member.unsealed).toHaveLength(3)
  })

  it('can let a member in later that was left behind', async () => {
    const [member, late] = [fakeMember('a'), fakeMember('b')]
    const both = await enrolled(await begun(member), [late])
    const { keyring } = await enrolled(await broken(both, [member]), [late])
    expect(heldBy(keyring, await unwrap(keyring, late))).toEqual(['1', '2'])
  })

  it('is not crossed before the new generation is active', async () => {
    const member = fakeMember('a')
    const { keyring, sealKeys, generation } = await handingOut(await begun(member), [member])
    expect(currentGeneration(keyring).number).toBe(1)
    const plain = sealKeys.of(generation.id).clone()
    expect(codeNow(() => matchSealKey({ keyring, sealKey: plain }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('comes after whatever was rotated while it was handed out', async () => {
    const member = fakeMember('a')
    const { generation, ...handedOut } = await handingOut(await begun(member), [member])
    const between = rotated(handedOut)
    expect(currentGeneration(between.keyring).number).toBe(2)
    const { keyring } = activated(rotated(between), generation)
    expect(currentGeneration(keyring).id).toEqual(generation.id)
    expect(heldBy(keyring, await unwrap(keyring, member)).slice(0, 1)).toEqual(['1'])
    expect(heldBy(keyring, await unwrap(keyring, member))).toHaveLength(4)
  })

  it('is not mended by a link: a keyring with a link over a break is none', async () => {
    const member = fakeMember('a')
    const { keyring, generation } = await broken(await begun(member), [member])
    const [link] = pending(await begun(member)).keyring.links
    if (link === undefined) throw new Error('no link')
    expect(codeNow(() => encodeKeyring({ ...keyring, links: [{ ...link, toId: generation.id }] }))).toBe(
      'KEYRING_MALFORMED',
    )
  })

  it('is signed as such: whoever lacks the key before it cannot call it chained', async () => {
    const member = fakeMember('a')
    const holding = await broken(await begun(member), [member])
    const generations = holding.keyring.generations.map(each => ({ ...each, step: 'chained' as const }))
    const bytes = encodeKeyring(changed(holding, { generations }).keyring)
    expect(codeNow(() => decodeKeyring(bytes))).toBe('KEYRING_LINEAGE_FORGED')
  })

  it('opens by its own record, even if the one from before it does not open any more', async () => {
    const member = fakeMember('a')
    const { keyring } = await broken(await begun(member), [member])
    const [first] = recordsFrom(keyring, 1)
    const forgetful = {
      ...member,
      unsealKek: (...[sealedKek, options]: Parameters<typeof member.unsealKek>) =>
        sealedKek === first?.sealedKek
          ? Promise.reject(new Error('TPM_RC_POLICY_FAIL'))
          : member.unsealKek(sealedKek, options),
    }
    expect(heldBy(keyring, await unwrap(keyring, forgetful))).toEqual(['2'])
  })
})
