import { Secret } from '@sealwright/secret'
import { toHex } from '@sealwright/testing-vectors'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { currentGeneration } from './lineage.ts'
import { makeLink } from './link.ts'
import { matchSealKey, SealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  changed,
  codeNow,
  codeOf,
  enrolled,
  heldBy,
  pending,
  recordFor,
  retired,
  rotated,
  sealKeyNamed,
  surroundings,
  unwrap,
} from './testing/samples.ts'

const key = () => sealKeyNamed('k')
const isWiped = (secret: Secret) => {
  expect(() => secret.reveal(bytes => bytes)).toThrow(TypeError)
}

describe('unwrapping the seal keys', () => {
  it('gives the very key that the keyring was made from', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const sealKeys = await unwrap(keyring, fakeMember('a'))
    expect(heldBy(keyring, sealKeys)).toEqual(['1'])
    expect(sealKeys.of(currentGeneration(keyring).id).equals(key())).toBe(true)
  })

  it('gives nothing for a generation that was not reached', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const sealKeys = await unwrap(keyring, fakeMember('a'))
    expect(codeNow(() => sealKeys.of(new Uint8Array(16)))).toBe('KEYRING_KEY_UNKNOWN')
    expect(sealKeys.has(new Uint8Array(16))).toBe(false)
  })

  it('wipes them all at once', async () => {
    const { keyring } = rotated(rotated(await begun(fakeMember('a'))))
    const sealKeys = await unwrap(keyring, fakeMember('a'))
    const keys = keyring.generations.map(({ id }) => sealKeys.of(id))
    sealKeys[Symbol.dispose]()
    keys.forEach(isWiped)
  })

  it('wipes every KEK, also if the keyring is not authentic or a record does not open', async () => {
    const member = fakeMember('a')
    const { keyring } = await begun(member)
    await unwrap(keyring, member)
    expect(await codeOf(() => unwrap({ ...keyring, revision: 2 }, member))).toBe('KEYRING_AUTH_FAILED')
    const records = keyring.records.map(record => ({ ...record, method: 'tpm-imported' as const }))
    expect(await codeOf(() => unwrap({ ...keyring, records }, member))).toBe('KEYRING_RECORD_AUTH_FAILED')
    expect(member.unsealed).toHaveLength(3)
    for (const { kek } of member.unsealed) isWiped(kek)
  })

  it('hands on what the member throws, and asks it no second time', async () => {
    const member = fakeMember('a')
    const { keyring } = await enrolled(rotated(await begun(member)), [member])
    expect(keyring.records).toHaveLength(2)
    let attempts = 0
    const unsealKek = () => {
      attempts += 1
      return Promise.reject(new Error('TPM_RC_AUTH_FAIL'))
    }
    await expect(unwrap(keyring, { ...member, unsealKek })).rejects.toThrow('TPM_RC_AUTH_FAIL')
    expect(attempts).toBe(1)
  })

  it.each([
    ['of another length', new Uint8Array(16).fill(1)],
    ['of another record', new Uint8Array(32).fill(1)],
  ])('refuses a KEK %s', async (_what, bytes) => {
    const member = fakeMember('a')
    const { keyring } = await begun(member)
    const unsealKek = () => Promise.resolve(new Secret(Uint8Array.from(bytes)))
    expect(await codeOf(() => unwrap(keyring, { ...member, unsealKek }))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })

  it('says that a member has no record', async () => {
    const { keyring } = await begun(fakeMember('a'))
    expect(await codeOf(() => unwrap(keyring, fakeMember('stranger')))).toBe('KEYRING_NO_RECORD')
  })

  it('tells the member how each KEK was made', async () => {
    const member = fakeMember('a')
    for (const method of ['tpm-sealed', 'tpm-imported'] as const) {
      await unwrap(await createKeyring({ ...recordFor(member, { method }), ...surroundings, sealKey: key() }), member)
    }
    expect(member.unsealed.map(({ method }) => method)).toEqual(['tpm-sealed', 'tpm-imported'])
  })

  it('refuses a link on the way to the current generation that was changed, or that holds another key', async () => {
    const member = fakeMember('a')
    const { generation, ...holding } = rotated(await begun(member))
    const [from] = holding.keyring.generations
    const [link] = holding.keyring.links
    if (from === undefined || link === undefined) throw new Error('no link')
    const ends = { clusterId: holding.keyring.clusterId, from, to: generation }
    const changes = [
      { ...link, wrappedKey: Uint8Array.from(link.wrappedKey).fill(7, -1) },
      makeLink({ nextSealKey: key(), sealKey: key(), ends, ...surroundings }),
    ]
    for (const changedLink of changes) {
      const { keyring } = changed(holding, { links: [changedLink] })
      await expect(unwrap(keyring, member)).rejects.toMatchObject({
        code: 'KEYRING_LINK_BROKEN',
        message: expect.stringContaining('the link from generation 1') as string,
      })
    }
  })

  it('leaves out such a link beside the way, with what it leads to, and opens', async () => {
    const member = fakeMember('a')
    const { keyring, sealKeys, generation } = pending(rotated(await begun(member)))
    const links = keyring.links.map(link =>
      toHex(link.toId) === toHex(generation.id)
        ? { ...link, wrappedKey: Uint8Array.from(link.wrappedKey).fill(7, -1) }
        : link,
    )
    const spoilt = changed({ keyring, sealKeys }, { links }).keyring
    expect(heldBy(spoilt, await unwrap(spoilt, member))).toEqual(['1', '2'])
    expect(heldBy(spoilt, matchSealKey({ keyring: spoilt, sealKey: key() }))).toEqual(['1', '2'])
  })
})

describe('matching a plain seal key', () => {
  it('recognises the key of any generation and climbs from there', async () => {
    const { keyring, sealKeys, generation } = rotated(await begun(fakeMember('a')))
    expect(heldBy(keyring, matchSealKey({ keyring, sealKey: key() }))).toEqual(['1', '2'])
    expect(heldBy(keyring, matchSealKey({ keyring, sealKey: sealKeys.of(generation.id) }))).toEqual(['2'])
  })

  it('leaves the key to the caller', async () => {
    const { keyring } = await begun(fakeMember('a'))
    const sealKey = key()
    matchSealKey({ keyring, sealKey }).wipe()
    expect(sealKey.equals(key())).toBe(true)
  })

  it('tells the key of another cluster', async () => {
    const { keyring } = await begun(fakeMember('a'))
    expect(codeNow(() => matchSealKey({ keyring, sealKey: sealKeyNamed('other') }))).toBe('KEYRING_OTHER_KEY')
  })

  it('cannot climb from a key that the keyring has retired', async () => {
    const member = fakeMember('a')
    const first = await begun(member)
    const { keyring } = retired(await enrolled(rotated(first), [member]), currentGeneration(first.keyring))
    expect(codeNow(() => matchSealKey({ keyring, sealKey: key() }))).toBe('KEYRING_LINK_BROKEN')
  })

  it.each([0, 31, 33])('refuses a key of %i bytes', async byteLength => {
    const { keyring } = await begun(fakeMember('a'))
    const sealKey = new Secret(new Uint8Array(byteLength).fill(1))
    expect(codeNow(() => matchSealKey({ keyring, sealKey }))).toBe('KEYRING_SEAL_KEY_INVALID')
  })

  it('never takes a changed keyring for that of another cluster, whichever bit was flipped', async () => {
    const bytes = encodeKeyring((await begun(fakeMember('a'))).keyring)
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      const offset = Math.floor(bit / 8)
      flipped[offset] = (flipped[offset] ?? 0) ^ (1 << (bit % 8))
      const code = codeNow(() => matchSealKey({ keyring: decodeKeyring(flipped), sealKey: key() }))
      expect(['none', 'KEYRING_OTHER_KEY']).not.toContain(code)
    }
  })
})

describe('seal keys with one more', () => {
  it('hold it as well, and wipe it with the others', async () => {
    const { keyring, sealKeys } = await begun(fakeMember('a'))
    const { id } = currentGeneration(keyring)
    const otherId = new Uint8Array(16).fill(1)
    const more = sealKeys.with(otherId, sealKeyNamed('other'))
    expect([sealKeys.has(otherId), more.has(otherId), more.has(id)]).toEqual([false, true, true])
    expect(more.isOriginProven).toBe(sealKeys.isOriginProven)
    const keys = [more.of(id), more.of(otherId)]
    more.wipe()
    keys.forEach(isWiped)
  })

  it('stay as proven as they were', () => {
    const nothing = new SealKeys(new Map(), false)
    expect(nothing.with(new Uint8Array(16), key()).isOriginProven).toBe(false)
  })
})
