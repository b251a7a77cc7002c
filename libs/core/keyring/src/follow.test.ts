import { OpenKeyring } from './open-keyring.ts'
import { followSealKeys, SealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, broken, changed, codeNow, opened, rotated, unwrap } from './testing/samples.ts'

const [ours, theirs] = [fakeMember('ours'), fakeMember('theirs')]

describe('the keys of a keyring that another node has rotated', () => {
  it('follow from those that are held, although the other keyring has no record of ours', async () => {
    const mine = await begun(ours)
    // The same cluster, since it begins from the same seal key.
    const far = rotated(rotated(await begun(theirs)))
    const blob = (await opened(far.keyring, theirs)).encryptBlob({
      ...{ plaintext: Uint8Array.of(7), aad: new Uint8Array() },
      randomBytes: byteLength => new Uint8Array(byteLength),
    })

    const followed = followSealKeys({ keyring: far.keyring, sealKeys: await unwrap(mine.keyring, ours) })
    expect(followed.isOriginProven).toBe(true)
    const united = (await opened(mine.keyring, ours)).mergedWith(OpenKeyring.from(far.keyring, followed))
    expect(united.current.number).toBe(3)
    expect(united.keyring.records).toHaveLength(2)
    expect(united.decryptBlob({ blob, aad: new Uint8Array() })).toEqual(Uint8Array.of(7))
  })

  it('are out of reach after a break of the chain', async () => {
    const { sealKeys } = await begun(ours)
    const far = await broken(await begun(theirs), [theirs])
    expect(codeNow(() => followSealKeys({ keyring: far.keyring, sealKeys }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('are refused for another cluster, and for a keyring that was changed', async () => {
    const { sealKeys } = await begun(ours)
    const stranger = await begun(theirs, 'another key')
    expect(codeNow(() => followSealKeys({ keyring: stranger.keyring, sealKeys }))).toBe('KEYRING_OTHER_KEY')

    const far = rotated(await begun(theirs))
    const forged = changed(far, { revision: 99 })
    const withOldMac = { ...forged.keyring, mac: far.keyring.mac }
    expect(codeNow(() => followSealKeys({ keyring: withOldMac, sealKeys }))).toBe('KEYRING_AUTH_FAILED')
  })

  it('prove no more of the origin than those that they follow from', async () => {
    const imported = await begun(ours)
    const [record] = imported.keyring.records
    if (record === undefined) throw new Error('no record')
    const far = rotated(await begun(theirs))
    const unproven = new SealKeys(
      new Map([[Buffer.from(record.generationId).toString('hex'), imported.sealKeys.of(record.generationId)]]),
      false,
    )
    expect(followSealKeys({ keyring: far.keyring, sealKeys: unproven }).isOriginProven).toBe(false)
  })
})
