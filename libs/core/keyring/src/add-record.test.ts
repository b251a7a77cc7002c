import { toHex } from '@sealwright/testing-vectors'

import { addRecord } from './add-record.ts'
import { encodeKeyring } from './codec.ts'
import { findRecords } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  begun,
  changed,
  codeOf,
  enrolled,
  handingOut,
  heldBy,
  opened,
  recordFor,
  recordsOf,
  retired,
  rotated,
  sealIdOf,
  surroundings,
  unwrap,
  without,
  withRecord,
} from './testing/samples.ts'

const member = fakeMember('a')
const other = fakeMember('b')
const transit = recordFor(fakeMember('t', 'transit'), { sealName: 'peer', method: 'transit' })

describe('adding a record', () => {
  it('lets another member open the keyring, and the first one still', async () => {
    const first = await begun(member)
    const { keyring } = await withRecord(first, recordFor(other, { label: 'node-2' }))
    for (const opener of [member, other]) {
      expect((await opened(keyring, opener)).keyId).toBe(currentGeneration(keyring).keyId)
    }
    expect(keyring.revision).toBe(2)
    expect(keyring.seals).toEqual(first.keyring.seals)
  })

  it('leaves the keyring that it began with as it was', async () => {
    const first = await begun(member)
    const before = toHex(encodeKeyring(first.keyring))
    await enrolled(first, [other])
    expect(toHex(encodeKeyring(first.keyring))).toBe(before)
  })

  it('supersedes the record of the same generation and keeps the one of another', async () => {
    const first = await begun(member)
    const second = rotated(first)
    const both = await enrolled(second, [member])
    const { keyring } = await enrolled(both, [member])
    const records = findRecords(keyring, { sealId: sealIdOf(keyring), memberId: member.memberId })
    const versions = new Map(records.map(record => [toHex(record.generationId), record.entryVersion]))
    const [one, two] = keyring.generations
    expect(versions.get(toHex(one?.id ?? new Uint8Array()))).toBe(1)
    expect(versions.get(toHex(two?.id ?? new Uint8Array()))).toBe(2)
    expect(keyring.members).toHaveLength(1)
  })

  it('is for the current generation, unless another is named', async () => {
    const { generation, ...handedOut } = await handingOut(rotated(await begun(member)), [])
    const { keyring } = await enrolled(handedOut, [other])
    expect(recordsOf(keyring, other)).toEqual(['2'])
    const { keyring: next } = await enrolled(handedOut, [other], generation.id)
    expect(recordsOf(next, other)).toEqual(['3'])
  })

  it('gives whoever is let in at a later generation no older one', async () => {
    const { keyring } = await enrolled(rotated(await begun(member)), [other])
    expect(heldBy(keyring, await unwrap(keyring, member))).toEqual(['1', '2'])
    expect(heldBy(keyring, await unwrap(keyring, other))).toEqual(['2'])
  })

  it('drops the last record of a retired generation that was kept for want of a newer one', async () => {
    const first = await begun(member)
    const kept = retired(await enrolled(rotated(first), [other]), currentGeneration(first.keyring))
    expect(recordsOf(kept.keyring, member)).toEqual(['1'])
    expect(recordsOf((await enrolled(kept, [member])).keyring, member)).toEqual(['2'])
  })

  it('refuses a generation that is retired, and one that is not listed', async () => {
    const first = await begun(member)
    const { id } = currentGeneration(first.keyring)
    const next = retired(await enrolled(rotated(first), [member]), currentGeneration(first.keyring))
    expect(await codeOf(() => enrolled(next, [other], id))).toBe('KEYRING_INPUT_INVALID')
    expect(await codeOf(() => enrolled(next, [other], new Uint8Array(16)))).toBe('KEYRING_INPUT_INVALID')
  })

  it('needs the key of its generation', async () => {
    const { keyring, generation } = rotated(await begun(member))
    const later = await enrolled({ keyring, sealKeys: await unwrap(keyring, member) }, [other])
    const sealKeys = await unwrap(later.keyring, other)
    const [one] = keyring.generations
    expect(await codeOf(() => enrolled({ keyring, sealKeys }, [other], one?.id))).toBe('KEYRING_KEY_UNKNOWN')
    expect(await codeOf(() => enrolled({ keyring, sealKeys }, [other], generation.id))).toBe('none')
  })

  it('refuses a keyring that is not authentic', async () => {
    const { keyring, sealKeys } = await begun(member)
    const forged = { ...keyring, revision: 7 }
    expect(await codeOf(() => enrolled({ keyring: forged, sealKeys }, [other]))).toBe('KEYRING_AUTH_FAILED')
  })

  it('wipes the KEK, also when the member fails', async () => {
    const { keyring, sealKeys } = await begun(member)
    const given: Uint8Array[] = []
    const randomBytes = (byteLength: number) => {
      const bytes = Uint8Array.from(surroundings.randomBytes(byteLength))
      given.push(bytes)
      return bytes
    }
    const failing = { ...other, sealKek: () => Promise.reject(new Error('TPM_RC_RETRY')) }
    const input = { ...recordFor(other), ...surroundings, randomBytes, keyring, sealKeys }
    await addRecord(input)
    await expect(addRecord({ ...input, member: failing })).rejects.toThrow('TPM_RC_RETRY')
    expect(given.filter(({ byteLength }) => byteLength === 32).map(toHex)).toEqual(['00'.repeat(32), '00'.repeat(32)])
  })
})

describe('the seal and the member of a record', () => {
  it('may be a second seal', async () => {
    const { keyring } = await withRecord(await begun(member), transit)
    expect(keyring.seals.map(({ name, sealType }) => `${name} ${sealType}`).sort()).toEqual(['peer transit', 'tpm tpm'])
  })

  it('are joined by the name that the seal has now: its id stays', async () => {
    const first = await begun(member)
    const seals = first.keyring.seals.map(seal => ({ ...seal, name: 'renamed', entryVersion: 2 }))
    const renamed = changed(first, { seals })
    const { keyring } = await withRecord(renamed, recordFor(other, { sealName: 'renamed' }))
    expect(keyring.seals).toEqual(renamed.keyring.seals)
    expect(sealIdOf(keyring, 'renamed')).toEqual(sealIdOf(first.keyring))
  })

  it('may not have the first name of a seal that was renamed: two seals would share an id', async () => {
    const first = await begun(member)
    const renamed = changed(first, { seals: first.keyring.seals.map(seal => ({ ...seal, name: 'renamed' })) })
    expect(await codeOf(() => enrolled(renamed, [other]))).toBe('KEYRING_NAME_TAKEN')
  })

  it('may not have the name of a seal of another type', async () => {
    const record = { ...transit, sealName: 'tpm' }
    expect(await codeOf(async () => withRecord(await begun(member), record))).toBe('KEYRING_NAME_TAKEN')
  })

  it('come back from removal with the next entry version', async () => {
    const first = without(await withRecord(await begun(member), transit), member)
    const removed = changed(first, {
      seals: first.keyring.seals.map(seal =>
        seal.name === 'tpm' ? { ...seal, state: 'removed', entryVersion: 2 } : seal,
      ),
    })
    const { keyring } = await enrolled(removed, [member])
    expect(keyring.seals.find(({ name }) => name === 'tpm')).toMatchObject({ state: 'active', entryVersion: 3 })
    expect(keyring.members).toContainEqual(expect.objectContaining({ state: 'active', entryVersion: 3 }))
    expect(await codeOf(() => opened(keyring, member))).toBe('none')
  })

  it('are listed as they are now, with the next entry version', async () => {
    const record = recordFor(member, { label: 'new-name', wrappingKey: Uint8Array.of(1), data: Uint8Array.of(2) })
    const updated = await withRecord(await begun(member), record)
    expect(updated.keyring.members).toMatchObject([{ label: 'new-name', entryVersion: 2 }])
    const kept = await withRecord(updated, recordFor(member, { label: 'new-name' }))
    expect(kept.keyring.members).toEqual(updated.keyring.members)
  })
})
