import { Secret } from '@sealwright/secret'

import { authenticate } from './authenticate.ts'
import { decodeKeyring, encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { deriveMacKey } from './key-schedule.ts'
import { findRecords, type Keyring, type KeyringContents, type KeyringRecord } from './keyring.ts'
import { type SealMember } from './seal.ts'
import { matchSealKey, type SealKeys, unwrapSealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  codeNow,
  codeOf,
  keyringOf,
  recordFor,
  sealIdOf,
  sealKeyNamed,
  rotated,
  signal,
  surroundings,
  withRecord,
} from './testing/samples.ts'

const member = fakeMember('a')
const key = () => sealKeyNamed('k')

/** Any change, authenticated by the current seal key. */
function changed(keyring: Keyring, sealKey: Secret, change: Partial<KeyringContents>): Keyring {
  return authenticate({ ...keyring, ...change }, deriveMacKey(sealKey, keyring.clusterId))
}

function unwrap(keyring: Keyring, opener = member): Promise<SealKeys> {
  return unwrapSealKeys({ keyring, sealId: sealIdOf(keyring), member: opener, signal })
}

describe('unwrapping the seal keys', () => {
  it('gives the very key that the keyring was made from', async () => {
    const sealKeys = await unwrap(await keyringOf(member, key()))
    expect(sealKeys.generations).toEqual([1])
    expect(sealKeys.of(1).equals(key())).toBe(true)
  })

  it('gives nothing for a generation that was not reached', async () => {
    const sealKeys = await unwrap(await keyringOf(member, key()))
    expect(codeNow(() => sealKeys.of(2))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('wipes them all at once', async () => {
    const sealKeys = await unwrap(rotated({ keyring: await keyringOf(member, key()), sealKey: key() }).keyring)
    sealKeys[Symbol.dispose]()
    expect(() => sealKeys.of(1).reveal(bytes => bytes)).toThrow(TypeError)
    expect(() => sealKeys.of(2).reveal(bytes => bytes)).toThrow(TypeError)
  })

  it('wipes the KEK, and the seal key too if the keyring is not authentic', async () => {
    const keks: Secret[] = []
    const watching = {
      ...member,
      unsealKek: async (...[sealedKek, options]: Parameters<SealMember['unsealKek']>) => {
        const kek = await member.unsealKek(sealedKek, options)
        keks.push(kek)
        return kek
      },
    }
    const keyring = await keyringOf(member, key())
    const sealId = sealIdOf(keyring)
    await unwrapSealKeys({ keyring, sealId, member: watching, signal })
    const forged = { ...keyring, revision: 2 }
    expect(await codeOf(() => unwrapSealKeys({ keyring: forged, sealId, member: watching, signal }))).toBe(
      'KEYRING_AUTH_FAILED',
    )
    expect(keks).toHaveLength(2)
    for (const kek of keks) expect(() => kek.reveal(bytes => bytes)).toThrow(TypeError)
  })

  it('hands on what the member throws, and asks it no second time', async () => {
    const failing = fakeMember('failing')
    let attempts = 0
    const wrongPin = {
      ...failing,
      unsealKek: () => {
        attempts += 1
        return Promise.reject(new Error('TPM_RC_AUTH_FAIL'))
      },
    }
    const first = await keyringOf(failing, key())
    const keyring = await withRecord(first, key(), { ...recordFor(failing, { slot: 1 }), generation: 1 })
    await expect(unwrap(keyring, { ...failing, ...wrongPin })).rejects.toThrow('TPM_RC_AUTH_FAIL')
    expect(attempts).toBe(1)
  })

  it('refuses a KEK of another length', async () => {
    const short = { ...member, unsealKek: () => Promise.resolve(new Secret(new Uint8Array(16).fill(1))) }
    const keyring = await keyringOf(member, key())
    expect(await codeOf(() => unwrap(keyring, short))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })

  it('refuses the KEK of another record', async () => {
    const other = { ...member, unsealKek: () => Promise.resolve(new Secret(new Uint8Array(32).fill(1))) }
    const keyring = await keyringOf(member, key())
    expect(await codeOf(() => unwrap(keyring, other))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })

  it('says that a member has no record', async () => {
    const keyring = await keyringOf(member, key())
    expect(await codeOf(() => unwrap(keyring, fakeMember('stranger')))).toBe('KEYRING_NO_RECORD')
  })

  it('tells the member how each KEK was made', async () => {
    const methods: string[] = []
    const watching = {
      ...member,
      unsealKek: (...[sealedKek, options]: Parameters<SealMember['unsealKek']>) => {
        methods.push(options.method)
        return member.unsealKek(sealedKek, options)
      },
    }
    const imported = await createKeyring({
      ...recordFor(member, { method: 'tpm-imported' }),
      ...surroundings,
      sealKey: key(),
    })
    await unwrap(await keyringOf(member, key()), watching)
    await unwrap(imported, watching)
    expect(methods).toEqual(['tpm-sealed', 'tpm-imported'])
  })
})

describe('a record in the wrong place', () => {
  const nextDoor = fakeMember('next-door')

  /** Two generations, two TPMs, one of them in two seals. */
  async function sampleKeyring(): Promise<Keyring> {
    const { keyring } = rotated({ keyring: await keyringOf(member, key()), sealKey: key() })
    const both = await withRecord(keyring, key(), { ...recordFor(nextDoor), generation: 1 })
    return withRecord(both, key(), { ...recordFor(member, { sealName: 'tpm-pin' }), generation: 1 })
  }

  const places: readonly (readonly [string, (keyring: Keyring) => Partial<KeyringRecord & KeyringContents>])[] = [
    ['generation', () => ({ generation: 2 })],
    ['seal', keyring => ({ sealId: sealIdOf(keyring, 'tpm-pin') })],
    ['member', () => ({ memberId: nextDoor.memberId })],
    ['method', () => ({ method: 'tpm-imported' })],
    ['cluster', () => ({ clusterId: new Uint8Array(16) })],
  ]

  it.each(places)('does not open: another %s', async (_what, placeIn) => {
    const keyring = await sampleKeyring()
    const [record] = findRecords(keyring, { sealId: sealIdOf(keyring), memberId: member.memberId })
    if (record === undefined) throw new Error('no record')
    const { clusterId = keyring.clusterId, ...place } = placeIn(keyring)
    const moved = { ...record, ...place }
    // The member that made it is the one asked, so that only the binding can refuse.
    const opener = { memberId: moved.memberId, unsealKek: member.unsealKek.bind(member) }
    const input = { keyring: { ...keyring, clusterId, records: [moved] }, sealId: moved.sealId, member: opener, signal }
    expect(await codeOf(() => unwrapSealKeys(input))).toBe('KEYRING_RECORD_AUTH_FAILED')
  })
})

describe('matching a plain seal key', () => {
  it('recognises the key of any generation and climbs from there', async () => {
    const first = await keyringOf(member, key())
    const { keyring, sealKey } = rotated({ keyring: first, sealKey: key() })
    expect(matchSealKey({ keyring, sealKey: key() }).generations).toEqual([1, 2])
    expect(matchSealKey({ keyring, sealKey }).generations).toEqual([2])
  })

  it('leaves the key to the caller', async () => {
    const keyring = await keyringOf(member, key())
    const sealKey = key()
    matchSealKey({ keyring, sealKey }).wipe()
    expect(sealKey.equals(key())).toBe(true)
  })

  it('tells the key of another cluster', async () => {
    const keyring = await keyringOf(member, key())
    expect(codeNow(() => matchSealKey({ keyring, sealKey: sealKeyNamed('other') }))).toBe('KEYRING_OTHER_KEY')
  })

  it('tells a first key that the keyring has left behind', async () => {
    const { keyring, sealKey } = rotated({ keyring: await keyringOf(member, key()), sealKey: key() })
    const both = await withRecord(keyring, sealKey, { ...recordFor(member), generation: 2 })
    const retired = changed(both, sealKey, {
      generations: both.generations.slice(1),
      records: both.records.filter(({ generation }) => generation === 2),
      links: [],
    })
    expect(codeNow(() => matchSealKey({ keyring: retired, sealKey: key() }))).toBe('KEYRING_OTHER_KEY')
  })

  it.each([0, 31, 33])('refuses a key of %i bytes', async byteLength => {
    const keyring = await keyringOf(member, key())
    const sealKey = new Secret(new Uint8Array(byteLength).fill(1))
    expect(codeNow(() => matchSealKey({ keyring, sealKey }))).toBe('KEYRING_SEAL_KEY_INVALID')
  })

  it('never takes a changed keyring for that of another cluster, whichever bit was flipped', async () => {
    const bytes = encodeKeyring(await keyringOf(member, key()))
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      const offset = Math.floor(bit / 8)
      flipped[offset] = (flipped[offset] ?? 0) ^ (1 << (bit % 8))
      const code = codeNow(() => matchSealKey({ keyring: decodeKeyring(flipped), sealKey: key() }))
      expect(['none', 'KEYRING_OTHER_KEY']).not.toContain(code)
    }
  })
})
