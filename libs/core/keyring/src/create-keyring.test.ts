import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { toHex } from '@sealwright/testing-vectors'

import { createKeyring } from './create-keyring.ts'
import { type KeyringContents } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { codeOf, keyringOf, recordFor, sealIdOf, sealKeyNamed, signal, surroundings } from './testing/samples.ts'

const member = fakeMember('a')

describe('a new keyring', () => {
  it('opens by its member and serves its key id', async () => {
    const keyring = await keyringOf(member, sealKeyNamed('k'), 'bootstrap-2024')
    const open = await openKeyring({ keyring, sealId: sealIdOf(keyring), member, signal })
    expect(open.keyId).toBe('bootstrap-2024')
    expect(keyring).toMatchObject({ revision: 1, links: [] })
    expect(keyring.generations).toMatchObject([
      { number: 1, parentId: new Uint8Array(16), step: 'chained', state: 'active', keyId: 'bootstrap-2024' },
    ])
  })

  it('agrees with those that other nodes made from the same key', async () => {
    const nodes = [fakeMember('node-1'), fakeMember('node-2'), fakeMember('node-3')]
    const keyrings = await Promise.all(nodes.map(node => keyringOf(node, sealKeyNamed('k'))))
    const shared = ({ clusterId, generations, seals }: KeyringContents) => ({ clusterId, generations, seals })
    for (const keyring of keyrings) expect(shared(keyring)).toEqual(shared(keyrings[0] ?? keyring))
    const [first, , last] = await Promise.all(
      keyrings.map((keyring, index) =>
        openKeyring({ keyring, sealId: sealIdOf(keyring), member: nodes[index] ?? member, signal }),
      ),
    )
    const blob = first?.encryptBlob({ plaintext: Uint8Array.of(1, 2), aad: new Uint8Array(), randomBytes })
    expect(last?.decryptBlob({ blob: blob ?? new Uint8Array(), aad: new Uint8Array() })).toEqual(Uint8Array.of(1, 2))
  })

  it('is the same but for its records if it is made again, so that a node may begin a second time', async () => {
    const again = await keyringOf(member, sealKeyNamed('k'))
    const { generations, clusterId } = await keyringOf(member, sealKeyNamed('k'))
    expect(again.generations).toEqual(generations)
    expect(again.clusterId).toEqual(clusterId)
  })

  it('has other ids for another key', async () => {
    const one = await keyringOf(member, sealKeyNamed('k'))
    const other = await keyringOf(member, sealKeyNamed('l'))
    expect(toHex(one.clusterId)).not.toBe(toHex(other.clusterId))
    expect(toHex(sealIdOf(one))).not.toBe(toHex(sealIdOf(other)))
    expect(one.generations[0]?.keyId).not.toBe(other.generations[0]?.keyId)
  })

  it('leaves the seal key to the caller', async () => {
    const sealKey = sealKeyNamed('k')
    await keyringOf(member, sealKey)
    expect(sealKey.equals(sealKeyNamed('k'))).toBe(true)
  })

  it.each([0, 16, 31, 33])('is not made from a seal key of %i bytes', async byteLength => {
    const sealKey = new Secret(new Uint8Array(byteLength).fill(1))
    expect(await codeOf(() => keyringOf(member, sealKey))).toBe('KEYRING_SEAL_KEY_INVALID')
  })

  it('is not made from a seal key of zeros', async () => {
    expect(await codeOf(() => keyringOf(member, new Secret(new Uint8Array(32))))).toBe('KEYRING_SEAL_KEY_INVALID')
  })

  it.each(['', ' ', 'a b', 'k\n', 'k\u00e9', 'k'.repeat(65)])('is not made with the key id %j', async keyId => {
    expect(await codeOf(() => keyringOf(member, sealKeyNamed('k'), keyId))).toBe('KEYRING_INPUT_INVALID')
  })

  it.each([
    ['a seal name with a space', { sealName: 'my tpm' }],
    ['an empty label', { label: '' }],
    ['a method of another seal type', { method: 'transit' as const }],
    ['a member id of 15 bytes', { member: { ...member, memberId: new Uint8Array(15) } }],
    ['a clock without whole milliseconds', { now: () => 1.5 }],
    ['a random source that gives too little', { randomBytes: () => new Uint8Array(3) }],
  ])('is not made with %s', async (_case, change) => {
    const input = { ...recordFor(member), ...surroundings, sealKey: sealKeyNamed('k'), ...change }
    expect(await codeOf(() => createKeyring(input))).toBe('KEYRING_INPUT_INVALID')
  })

  it('wipes the KEK, also when the member fails', async () => {
    const given: Uint8Array[] = []
    const failing = { ...member, sealKek: () => Promise.reject(new Error('TPM_RC_RETRY')) }
    const input = {
      ...recordFor(member),
      ...surroundings,
      sealKey: sealKeyNamed('k'),
      randomBytes: (byteLength: number) => {
        const bytes = Uint8Array.from(randomBytes(byteLength))
        given.push(bytes)
        return bytes
      },
    }
    await createKeyring(input)
    await expect(createKeyring({ ...input, member: failing })).rejects.toThrow('TPM_RC_RETRY')
    const keks = given.filter(({ byteLength }) => byteLength === 32)
    expect(keks.map(toHex)).toEqual(['00'.repeat(32), '00'.repeat(32)])
  })

  it('passes the signal to the member', async () => {
    const abort = new AbortController()
    abort.abort(new Error('stopped'))
    const input = { ...recordFor(member), ...surroundings, sealKey: sealKeyNamed('k'), signal: abort.signal }
    await expect((async () => createKeyring(input))()).rejects.toThrow('stopped')
  })
})
