import { toHex } from '@sealwright/testing-vectors'

import { addGeneration } from './add-generation.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { currentGeneration } from './lineage.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  activated,
  begun,
  codeNow,
  codeOf,
  enrolled,
  handingOut,
  heldBy,
  opened,
  pending,
  rotated,
  surroundings,
  unwrap,
} from './testing/samples.ts'

const member = fakeMember('a')
const { randomBytes } = surroundings

/** Random bytes, and every array that was given out. */
function watchedRandom(): { readonly given: Uint8Array[]; readonly randomBytes: (byteLength: number) => Uint8Array } {
  const given: Uint8Array[] = []
  return {
    given,
    randomBytes: byteLength => {
      const bytes = Uint8Array.from(randomBytes(byteLength))
      given.push(bytes)
      return bytes
    },
  }
}

describe('a new generation', () => {
  it('is pending: the one before it still encrypts', async () => {
    const first = await begun(member)
    const { keyring, generation } = pending(first)
    expect(generation).toMatchObject({ number: 2, state: 'pending', parentId: currentGeneration(first.keyring).id })
    expect((await opened(keyring, member)).current).toEqual(currentGeneration(first.keyring))
    expect(keyring.revision).toBe(2)
  })

  it('follows the current one, not another that is pending', async () => {
    const twice = pending(pending(await begun(member)))
    expect(twice.keyring.generations.map(({ number }) => number)).toEqual([1, 2, 2])
  })

  it('is vouched for, so that every reader accepts it', async () => {
    const { keyring } = pending(pending(rotated(await begun(member))), 'broken')
    expect(decodeKeyring(encodeKeyring(keyring))).toEqual(keyring)
  })

  it('leaves the keyring and the keys that it began with as they were', async () => {
    const first = await begun(member)
    const before = toHex(encodeKeyring(first.keyring))
    pending(first)
    expect(toHex(encodeKeyring(first.keyring))).toBe(before)
    expect(heldBy(first.keyring, first.sealKeys)).toEqual(['1'])
  })

  it('has the key id that it is given', async () => {
    const { generation } = addGeneration({ ...(await begun(member)), step: 'chained', keyId: 'spring', randomBytes })
    expect(generation.keyId).toBe('spring')
  })
})

describe('a chained generation', () => {
  it('may become active at once, and every record leads to it', async () => {
    const offline = fakeMember('b')
    const { keyring } = rotated(await enrolled(await begun(member), [offline]))
    for (const opener of [member, offline]) {
      expect(heldBy(keyring, await unwrap(keyring, opener))).toEqual(['1', '2'])
    }
    expect(currentGeneration(keyring).number).toBe(2)
  })

  it('leaves a member that was offline for three of them its way in, with one unsealing', async () => {
    const offline = fakeMember('offline')
    const first = await begun(offline)
    const before = await opened(first.keyring, fakeMember('offline'))
    const { keyring } = rotated(rotated(rotated(first)))
    const open = await opened(keyring, offline)
    expect(open.keyIds).toEqual(keyring.generations.map(({ keyId }) => keyId))
    expect(open.keyId).toBe(keyring.generations[3]?.keyId)
    expect(offline.unsealed).toHaveLength(1)
    const blob = before.encryptBlob({ plaintext: Uint8Array.of(1), aad: new Uint8Array(), randomBytes })
    expect(open.decryptBlob({ blob, aad: new Uint8Array() })).toEqual(Uint8Array.of(1))
    const later = open.encryptBlob({ plaintext: Uint8Array.of(1), aad: new Uint8Array(), randomBytes })
    expect(codeNow(() => before.decryptBlob({ blob: later, aad: new Uint8Array() }))).toBe('KEYRING_KEY_UNKNOWN')
  })
})

describe('a broken generation', () => {
  it('has no link: as long as it is pending, nobody reaches it, not even with a record', async () => {
    const opener = fakeMember('a')
    const { keyring } = await handingOut(await begun(member), [opener])
    expect(keyring.links).toEqual([])
    expect(heldBy(keyring, await unwrap(keyring, opener))).toEqual(['1'])
    expect(opener.unsealed).toHaveLength(1)
  })

  it('cannot become active before anybody has a record of it', async () => {
    const { generation, ...holding } = pending(await begun(member), 'broken')
    expect(codeNow(() => activated(holding, generation))).toBe('KEYRING_NO_WAY_IN')
  })
})

describe('adding a generation', () => {
  it('refuses a key id that another generation has, and what is none', async () => {
    const holding = await begun(member)
    const keyId = currentGeneration(holding.keyring).keyId
    for (const wrong of [keyId, '', 'k 2', 'k'.repeat(65)]) {
      const add = () => addGeneration({ ...holding, step: 'chained', keyId: wrong, randomBytes })
      expect(codeNow(add)).toBe('KEYRING_INPUT_INVALID')
    }
  })

  it('refuses a random source that gives too little, or the key that is there already', async () => {
    const holding = await begun(member)
    const add = (bytes: Uint8Array) => () => addGeneration({ ...holding, step: 'broken', randomBytes: () => bytes })
    expect(codeNow(add(new Uint8Array(31).fill(1)))).toBe('KEYRING_INPUT_INVALID')
    expect(codeNow(add(new Uint8Array(32)))).toBe('KEYRING_SEAL_KEY_INVALID')
    const same = holding.sealKeys.of(currentGeneration(holding.keyring).id).reveal(bytes => Uint8Array.from(bytes))
    expect(codeNow(add(same))).toBe('KEYRING_INPUT_INVALID')
  })

  it('refuses a keyring that is not authentic, and keys without the current one', async () => {
    const { keyring, sealKeys } = await begun(member)
    const forged = { keyring: { ...keyring, revision: 7 }, sealKeys }
    expect(codeNow(() => pending(forged))).toBe('KEYRING_AUTH_FAILED')
    const { keyring: later } = rotated({ keyring, sealKeys })
    expect(codeNow(() => pending({ keyring: later, sealKeys }))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('takes the new key away from the random source, so that no copy of it stays there', async () => {
    const { given, ...random } = watchedRandom()
    const { sealKey } = addGeneration({ ...(await begun(member)), step: 'chained', ...random })
    expect(given.filter(({ byteLength }) => byteLength === 32).map(toHex)).toEqual(['00'.repeat(32)])
    expect(sealKey.reveal(bytes => bytes.some(byte => byte !== 0))).toBe(true)
  })

  it('keeps a member that fails while it is handed out from changing anything', async () => {
    const added = pending(await begun(member), 'broken')
    const failing = { ...member, sealKek: () => Promise.reject(new Error('TPM_RC_RETRY')) }
    await expect(enrolled(added, [failing], added.generation.id)).rejects.toThrow('TPM_RC_RETRY')
    expect(await codeOf(() => enrolled(added, [member], added.generation.id))).toBe('none')
  })
})
