import { createKeyring } from './create-keyring.ts'
import { type Keyring } from './keyring.ts'
import { assertOrigin } from './origin.ts'
import { matchSealKey } from './seal-keys.ts'
import { provesOrigin, RECORD_METHODS, type RecordMethod, sealTypeOf } from './registry.ts'
import { fakeMember } from './testing/fake-member.ts'
import {
  activated,
  begun,
  codeNow,
  enrolled,
  opened,
  pending,
  recordFor,
  rotated,
  sealKeyNamed,
  surroundings,
  unwrap,
  withRecord,
} from './testing/samples.ts'

const PROVING: readonly RecordMethod[] = ['tpm-sealed', 'pkcs11-aes-gcm', 'transit']

/** A keyring with one record, made by this method. */
function keyringBy(method: RecordMethod): Promise<Keyring> {
  const member = fakeMember('a', sealTypeOf(method))
  return createKeyring({ ...recordFor(member, { method }), ...surroundings, sealKey: sealKeyNamed('k') })
}

describe('where a keyring comes from', () => {
  it.each([...RECORD_METHODS.names.values()])(
    'is judged by the method of the record that opens it: %s',
    async method => {
      const member = fakeMember('a', sealTypeOf(method))
      const keyring = await keyringBy(method)
      const expected = PROVING.includes(method)
      expect(provesOrigin(method)).toBe(expected)
      expect((await unwrap(keyring, member)).isOriginProven).toBe(expected)
      expect((await opened(keyring, member)).isOriginProven).toBe(expected)
    },
  )

  it('is proven by an old record too, since that is bound to the cluster', async () => {
    const member = fakeMember('a')
    const first = await begun(member)
    const { generation, ...next } = pending(first, 'broken')
    const imported = { ...recordFor(member, { method: 'tpm-imported' }), generationId: generation.id }
    const { keyring } = activated(await withRecord(next, imported), generation)
    expect((await unwrap(keyring, member)).isOriginProven).toBe(true)
    const oldRecord = keyring.records.find(({ method }) => method === 'tpm-sealed')
    const forgetful = {
      ...member,
      unsealKek: (...[sealedKek, options]: Parameters<typeof member.unsealKek>) =>
        sealedKek === oldRecord?.sealedKek ? Promise.reject(new Error('gone')) : member.unsealKek(sealedKek, options),
    }
    expect((await unwrap(keyring, forgetful)).isOriginProven).toBe(false)
  })

  it('is not proven by a record that was not opened, because links lead past it', async () => {
    const member = fakeMember('a')
    const keyring = await keyringBy('tpm-imported')
    const first = { keyring, sealKeys: await unwrap(keyring, member) }
    const { keyring: later } = await enrolled(rotated(first), [member])
    expect((await unwrap(later, member)).isOriginProven).toBe(false)
    expect(member.unsealed).toHaveLength(2)
  })

  it('is proven by a seal key that was known before', async () => {
    const keyring = await keyringBy('tpm-imported')
    expect(matchSealKey({ keyring, sealKey: sealKeyNamed('k') }).isOriginProven).toBe(true)
  })

  it('stays proven in a merge, and becomes so by one', async () => {
    const proven = await opened(await keyringBy('tpm-sealed'), fakeMember('a'))
    const unproven = await opened(await keyringBy('tpm-imported'), fakeMember('a'))
    expect(unproven.mergedWith(proven.keyring).isOriginProven).toBe(false)
    expect(unproven.mergedWith(proven).isOriginProven).toBe(true)
    expect(proven.mergedWith(unproven).isOriginProven).toBe(true)
  })
})

describe('the origin of an opened keyring', () => {
  it('has to be proven by a record, or known from elsewhere', async () => {
    const proven = await opened(await keyringBy('tpm-sealed'), fakeMember('a'))
    const unproven = await opened(await keyringBy('tpm-imported'), fakeMember('a'))
    const { clusterId } = unproven.keyring
    const other = Uint8Array.from(clusterId, byte => byte ^ 1)

    expect(
      codeNow(() => {
        assertOrigin(proven, undefined)
      }),
    ).toBe('none')
    expect(
      codeNow(() => {
        assertOrigin(unproven, undefined)
      }),
    ).toBe('KEYRING_ORIGIN_UNPROVEN')
    expect(
      codeNow(() => {
        assertOrigin(unproven, clusterId)
      }),
    ).toBe('none')
    expect(
      codeNow(() => {
        assertOrigin(proven, other)
      }),
    ).toBe('KEYRING_OTHER_CLUSTER')
  })
})
