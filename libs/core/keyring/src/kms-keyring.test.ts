import { randomBytes } from 'node:crypto'

import { decryptEnvelope, encryptEnvelope } from '@sealwright/envelope'

import { activateGeneration, addGeneration, type Holding } from './add-generation.ts'
import { deriveBlobKey, deriveKmsKey, deriveMacKey } from './key-schedule.ts'
import { isKmsKeyring, makeKmsKeyId, parseKmsKeyId } from './kms-key-id.ts'
import { kmsChain, kmsKeyringOf, openKmsKeyring, type OpenKmsKeyring } from './open-kms-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begunForKms, kmsKeyId, MADE_AT_MS, rotatedForKms } from './testing/kms-samples.ts'
import {
  begun,
  broken,
  changed,
  codeNow,
  codeOf,
  enrolled,
  opened,
  pending,
  retired,
  rotated,
  sealIdOf,
  sealKeyNamed,
  signal,
} from './testing/samples.ts'

function openedForKms({ keyring }: Holding): Promise<OpenKmsKeyring> {
  return openKmsKeyring({ keyring, sealId: sealIdOf(keyring), member: fakeMember('a'), signal })
}

const bytesOf = (open: OpenKmsKeyring) => open.generations.map(({ key }) => key?.export().toString('hex'))

describe('the keyring of a KMS plugin', () => {
  it('opens through a member to one key for each version, each by its own date', async () => {
    const first = await begunForKms()
    const second = rotatedForKms(first, MADE_AT_MS + 1)
    const open = await openedForKms(second)
    const [one, two] = second.keyring.generations
    const { clusterId } = second.keyring
    expect(open.generations.map(({ number, notBeforeMs, state }) => [number, notBeforeMs, state])).toEqual([
      [1, MADE_AT_MS, 'active'],
      [2, MADE_AT_MS + 1, 'active'],
    ])
    expect(open.generations.map(({ id }) => id)).toEqual([one?.id, two?.id])
    const expected = [one, two].map(each => {
      const key = deriveKmsKey(second.sealKeys.of(each?.id ?? new Uint8Array()), clusterId)
      return key.export().toString('hex')
    })
    expect(bytesOf(open)).toEqual(expected)
    expect(open.isOriginProven).toBe(true)
  })

  it('gives keys that have nothing to do with those of an agent', async () => {
    const { keyring, sealKeys } = await begunForKms()
    const [key] = kmsKeyringOf(keyring, sealKeys).generations.map(generation => generation.key)
    if (key === undefined) throw new Error('no key')
    const sealKey = sealKeyNamed('k')
    const blobKey = deriveBlobKey(sealKey, keyring.clusterId)
    const macKey = deriveMacKey(sealKey, keyring.clusterId)
    expect([key.equals(blobKey), key.equals(macKey)]).toEqual([false, false])
    const common = { keyRef: Uint8Array.of(1), context: [], plaintext: Uint8Array.of(2), randomBytes }
    const bytes = encryptEnvelope({ ...common, key, purpose: 'kms-seed' })
    const open = (other: typeof key, purpose: 'kms-seed' | 'openbao-blob') =>
      codeNow(() => decryptEnvelope({ key: other, purpose, context: [], bytes }))
    expect([open(key, 'kms-seed'), open(blobKey, 'kms-seed'), open(key, 'openbao-blob')]).toEqual([
      'none',
      'ENVELOPE_AUTH_FAILED',
      'ENVELOPE_PURPOSE_MISMATCH',
    ])
  })

  it('has no key of a version that is retired, even where the member could reach it', async () => {
    const first = await begunForKms()
    const [one] = first.keyring.generations
    if (one === undefined) throw new Error('no generation')
    const open = await openedForKms(retired(rotatedForKms(first), one))
    expect(open.generations.map(({ number, state, key }) => [number, state, key !== undefined])).toEqual([
      [1, 'retired', false],
      [2, 'active', true],
    ])
  })

  it('counts only the chain of the current version where two nodes have rotated at once', async () => {
    const first = await begunForKms()
    const [one, other] = [rotatedForKms(first), rotatedForKms(first)]
    const generations = [...one.keyring.generations, ...other.keyring.generations.slice(1)].sort(
      (a, b) => a.number - b.number || Buffer.compare(a.id, b.id),
    )
    const links = [...one.keyring.links, ...other.keyring.links].sort((a, b) => Buffer.compare(a.toId, b.toId))
    const [, later] = other.keyring.generations
    if (later === undefined) throw new Error('no generation')
    const sealKeys = one.sealKeys.with(later.id, other.sealKeys.of(later.id))
    const both = changed({ keyring: one.keyring, sealKeys }, { generations, links })
    const open = await openedForKms(both)
    expect(both.keyring.generations.map(({ number }) => number)).toEqual([1, 2, 2])
    expect(open.generations.map(({ number }) => number)).toEqual([1, 2])
    expect(open.generations[1]?.id).toEqual(generations[1]?.id)
  })

  it('has no key of a version that its member cannot reach after a break', async () => {
    const [a, b] = [fakeMember('a'), fakeMember('b')]
    const { keyring, sealKeys } = await begunForKms()
    const added = addGeneration({ keyring, sealKeys, step: 'broken', keyId: kmsKeyId(), randomBytes })
    const held = sealKeys.with(added.generation.id, added.sealKey)
    const handedOut = await enrolled({ keyring: added.keyring, sealKeys: held }, [a, b], added.generation.id)
    const after = activateGeneration({ ...handedOut, id: added.generation.id })
    const open = await openKmsKeyring({ keyring: after, sealId: sealIdOf(after), member: b, signal })
    expect(open.generations.map(({ number, key }) => [number, key !== undefined])).toEqual([
      [1, false],
      [2, true],
    ])
  })

  it('is refused if it was changed', async () => {
    const { keyring } = await begunForKms()
    const members = keyring.members.map(member => ({ ...member, label: 'other' }))
    const input = { sealId: sealIdOf(keyring), member: fakeMember('a'), signal }
    expect(await codeOf(() => openKmsKeyring({ ...input, keyring: { ...keyring, members } }))).toBe(
      'KEYRING_AUTH_FAILED',
    )
  })
})

describe('a keyring that opens OpenBao', () => {
  it('is none of a KMS plugin, and its member is not asked', async () => {
    const member = fakeMember('a')
    const { keyring, sealKeys } = await begun(member)
    expect(isKmsKeyring(keyring)).toBe(false)
    expect(await codeOf(() => openKmsKeyring({ keyring, sealId: sealIdOf(keyring), member, signal }))).toBe(
      'KEYRING_OTHER_USE',
    )
    expect(member.unsealed).toHaveLength(0)
    expect(codeNow(() => kmsKeyringOf(keyring, sealKeys))).toBe('KEYRING_OTHER_USE')
    expect(codeNow(() => kmsChain(keyring))).toBe('KEYRING_OTHER_USE')
  })

  it.each([
    ['a rotation', rotated],
    ['a generation that waits', pending],
  ])('is none either where only %s is not of a KMS plugin', async (_what, change) => {
    const holding = change(await begunForKms())
    expect(await codeOf(() => openedForKms(holding))).toBe('KEYRING_OTHER_USE')
  })

  it('is none either after a break', async () => {
    const holding = await broken(await begunForKms(), [fakeMember('a')])
    expect(await codeOf(() => openedForKms(holding))).toBe('KEYRING_OTHER_USE')
  })
})

describe('an agent', () => {
  it('encrypts nothing for OpenBao by the keyring of a KMS plugin', async () => {
    const { keyring } = await begunForKms()
    const open = await opened(keyring, fakeMember('a'))
    const aad = new Uint8Array()
    expect(codeNow(() => open.encryptBlob({ plaintext: Uint8Array.of(1), aad, randomBytes }))).toBe('KEYRING_OTHER_USE')
  })
})

describe('the key id of a version', () => {
  it('is never the same twice, and tells its date', () => {
    const ids = Array.from({ length: 100 }, () => kmsKeyId(7))
    expect(new Set(ids).size).toBe(100)
    expect(ids.map(parseKmsKeyId)).toEqual(Array.from({ length: 100 }, () => ({ notBeforeMs: 7 })))
    expect(parseKmsKeyId(kmsKeyId(0))).toEqual({ notBeforeMs: 0 })
    expect(parseKmsKeyId(kmsKeyId(99_999_999_999_999))).toEqual({ notBeforeMs: 99_999_999_999_999 })
  })

  it.each([
    'sw-0123456789abcdef',
    'kms-0123456789abcdef',
    'kms-0123456789abcdef-',
    'kms-0123456789abcdef-01',
    'kms-0123456789abcdef--1',
    'kms-0123456789ABCDEF-1',
    'kms-0123456789abcde-1',
    'kms-0123456789abcdef-100000000000000',
    ' kms-0123456789abcdef-1',
    'kms-0123456789abcdef-1\n',
  ])('is not %j', keyId => {
    expect(parseKmsKeyId(keyId)).toBeNull()
  })

  it.each([-1, 0.5, Number.NaN, 100_000_000_000_000])('carries no %d', notBeforeMs => {
    expect(codeNow(() => kmsKeyId(notBeforeMs))).toBe('KEYRING_INPUT_INVALID')
  })

  it('needs as many random bytes as it asks for', () => {
    expect(codeNow(() => makeKmsKeyId({ notBeforeMs: 1, randomBytes: () => new Uint8Array(7) }))).toBe(
      'KEYRING_INPUT_INVALID',
    )
  })
})
