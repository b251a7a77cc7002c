import { toHex } from '@sealwright/testing-vectors'

import { addGeneration } from './add-generation.ts'
import { addRecord } from './add-record.ts'
import { authenticate } from './authenticate.ts'
import { deriveMacKey } from './key-schedule.ts'
import { encodeKeyring } from './codec.ts'
import { findRecords, type Keyring, type KeyringContents } from './keyring.ts'
import { openKeyring } from './open-keyring.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  codeOf,
  keyringOf,
  recordFor,
  sealIdOf,
  sealKeyNamed,
  signal,
  surroundings,
  withRecord,
} from './testing/samples.ts'

const key = () => sealKeyNamed('k')
const member = fakeMember('a')
const other = fakeMember('b')

/** What an operation of a later issue would write: any change, authenticated by the seal key. */
function changed(keyring: Keyring, change: Partial<KeyringContents>): Keyring {
  return authenticate({ ...keyring, ...change }, deriveMacKey(key(), keyring.clusterId))
}

describe('adding a record', () => {
  it('lets another member open the keyring, and the first one still', async () => {
    const first = await keyringOf(member, key())
    const keyring = await withRecord(first, key(), { ...recordFor(other, { label: 'node-2' }), generation: 1 })
    for (const opener of [member, other]) {
      const open = await openKeyring({ keyring, sealId: sealIdOf(keyring), member: opener, signal })
      expect(open.keyIds).toEqual([first.generations[0]?.keyId])
    }
    expect(keyring.revision).toBe(2)
    expect(keyring.seals).toEqual(first.seals)
  })

  it('leaves the keyring that it began with as it was', async () => {
    const first = await keyringOf(member, key())
    const before = toHex(encodeKeyring(first))
    await withRecord(first, key(), { ...recordFor(other), generation: 1 })
    expect(toHex(encodeKeyring(first))).toBe(before)
  })

  it('supersedes the record in the same slot and keeps the one in another', async () => {
    let keyring = await keyringOf(member, key())
    keyring = await withRecord(keyring, key(), { ...recordFor(member, { slot: 1 }), generation: 1 })
    keyring = await withRecord(keyring, key(), { ...recordFor(member), generation: 1 })
    const records = findRecords(keyring, { sealId: sealIdOf(keyring), memberId: member.memberId })
    expect(records.map(({ slot, entryVersion }) => [slot, entryVersion])).toEqual([
      [0, 2],
      [1, 1],
    ])
    expect(keyring.members).toHaveLength(1)
  })

  it('makes a second seal', async () => {
    const first = await keyringOf(member, key())
    const transit = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' })
    const keyring = await withRecord(first, key(), { ...transit, generation: 1 })
    expect(keyring.seals.map(({ name, sealType }) => `${name} ${sealType}`).sort()).toEqual(['peer transit', 'tpm tpm'])
  })

  it('joins a seal by the name it has now, whose id stays', async () => {
    const first = await keyringOf(member, key())
    const seals = first.seals.map(seal => ({ ...seal, name: 'renamed', entryVersion: 2 }))
    const renamed = changed(first, { seals })
    const keyring = await withRecord(renamed, key(), { ...recordFor(other, { sealName: 'renamed' }), generation: 1 })
    expect(keyring.seals).toEqual(renamed.seals)
    for (const opener of [member, other]) {
      const open = await openKeyring({ keyring, sealId: sealIdOf(first), member: opener, signal })
      expect(open.keyring.revision).toBe(2)
    }
  })

  it('refuses the first name of a seal that was renamed: two seals would share an id', async () => {
    const first = await keyringOf(member, key())
    const renamed = changed(first, { seals: first.seals.map(seal => ({ ...seal, name: 'renamed' })) })
    expect(await codeOf(() => withRecord(renamed, key(), { ...recordFor(other), generation: 1 }))).toBe(
      'KEYRING_NAME_TAKEN',
    )
  })

  it('brings a removed seal and member back with the next entry version', async () => {
    const first = await keyringOf(member, key())
    const second = await withRecord(first, key(), {
      ...recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' }),
      generation: 1,
    })
    const removed = changed(second, {
      seals: second.seals.map(seal => (seal.name === 'tpm' ? { ...seal, state: 'removed', entryVersion: 2 } : seal)),
      members: second.members.map(entry =>
        toHex(entry.memberId) === toHex(member.memberId) ? { ...entry, state: 'removed', entryVersion: 2 } : entry,
      ),
      records: second.records.filter(({ method }) => method === 'transit'),
    })
    const keyring = await withRecord(removed, key(), { ...recordFor(member), generation: 1 })
    expect(keyring.seals.find(({ name }) => name === 'tpm')).toMatchObject({ state: 'active', entryVersion: 3 })
    expect(await codeOf(() => openKeyring({ keyring, sealId: sealIdOf(first), member, signal }))).toBe('none')
  })

  it('updates what is listed about a member', async () => {
    const first = await keyringOf(member, key())
    const record = recordFor(member, { label: 'new-name', wrappingKey: Uint8Array.of(1), data: Uint8Array.of(2) })
    const keyring = await withRecord(first, key(), { ...record, generation: 1 })
    expect(keyring.members).toMatchObject([{ label: 'new-name', entryVersion: 2 }])
    const kept = await withRecord(keyring, key(), { ...recordFor(member, { label: 'new-name' }), generation: 1 })
    expect(kept.members).toEqual(keyring.members)
  })

  it('refuses a name that a seal of another type has', async () => {
    const first = await keyringOf(member, key())
    const record = { ...recordFor(fakeMember('t', 'transit'), { method: 'transit' }), generation: 1 }
    expect(await codeOf(() => withRecord(first, key(), record))).toBe('KEYRING_NAME_TAKEN')
  })

  it('refuses a generation whose key is not held', async () => {
    const keyring = await keyringOf(member, key())
    expect(await codeOf(() => withRecord(keyring, key(), { ...recordFor(other), generation: 2 }))).toBe(
      'KEYRING_KEY_UNKNOWN',
    )
  })

  it('refuses a keyring that is not authentic', async () => {
    const keyring = await keyringOf(member, key())
    const sealKeys = matchSealKey({ keyring, sealKey: key() })
    const forged = { ...keyring, revision: 7 }
    const record = { ...recordFor(other), ...surroundings, keyring: forged, sealKeys, generation: 1 }
    expect(await codeOf(() => addRecord(record))).toBe('KEYRING_AUTH_FAILED')
  })
})

describe('adding a generation', () => {
  /** `keyring` three generations later. */
  function rotatedThrice(keyring: Keyring): Keyring {
    let next = keyring
    let sealKey = key()
    for (let turn = 0; turn < 3; turn += 1) {
      const sealKeys = matchSealKey({ keyring: next, sealKey })
      const added = addGeneration({ keyring: next, sealKeys, randomBytes: surroundings.randomBytes })
      sealKeys.wipe()
      next = added.keyring
      sealKey = added.sealKey
    }
    return next
  }

  it('leaves a member that was offline for three rotations its way in, with one unsealing', async () => {
    const opener = fakeMember('offline')
    const first = await keyringOf(opener, key())
    const keyring = rotatedThrice(first)
    const open = await openKeyring({ keyring, sealId: sealIdOf(keyring), member: opener, signal })
    expect(open.keyIds).toEqual(keyring.generations.map(({ keyId }) => keyId))
    expect(open.keyId).toBe(keyring.generations[3]?.keyId)
    expect(opener.unsealCount()).toBe(1)
  })

  it('still decrypts the blobs of each generation', async () => {
    const first = await keyringOf(member, key())
    const before = await openKeyring({ keyring: first, sealId: sealIdOf(first), member, signal })
    const aad = new Uint8Array()
    const { randomBytes } = surroundings
    const blob = before.encryptBlob({ plaintext: Uint8Array.of(1), aad, randomBytes })
    const keyring = rotatedThrice(first)
    const after = await openKeyring({ keyring, sealId: sealIdOf(first), member, signal })
    expect(after.decryptBlob({ blob, aad })).toEqual(Uint8Array.of(1))
    const later = after.encryptBlob({ plaintext: Uint8Array.of(1), aad, randomBytes })
    expect(await codeOf(() => before.decryptBlob({ blob: later, aad }))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('refuses while a later generation is being handed out', async () => {
    const first = await keyringOf(member, key())
    const rotated = rotatedThrice(first)
    const pending = changed({ ...rotated, currentGeneration: 1 }, {})
    const sealKeys = matchSealKey({ keyring: pending, sealKey: key() })
    expect(
      await codeOf(() => addGeneration({ keyring: pending, sealKeys, randomBytes: surroundings.randomBytes })),
    ).toBe('KEYRING_INPUT_INVALID')
  })

  it('refuses a key id that another generation has, and a wrong one', async () => {
    const keyring = await keyringOf(member, key(), 'k1')
    const sealKeys = matchSealKey({ keyring, sealKey: key() })
    const { randomBytes } = surroundings
    expect(await codeOf(() => addGeneration({ keyring, sealKeys, keyId: 'k1', randomBytes }))).toBe('KEYRING_MALFORMED')
    expect(await codeOf(() => addGeneration({ keyring, sealKeys, keyId: 'k 2', randomBytes }))).toBe(
      'KEYRING_INPUT_INVALID',
    )
  })

  it('refuses a keyring that is not authentic', async () => {
    const keyring = await keyringOf(member, key())
    const sealKeys = matchSealKey({ keyring, sealKey: key() })
    const forged = { ...keyring, revision: 7 }
    expect(
      await codeOf(() => addGeneration({ keyring: forged, sealKeys, randomBytes: surroundings.randomBytes })),
    ).toBe('KEYRING_AUTH_FAILED')
  })
})
