import { createSecretKey, randomBytes } from 'node:crypto'

import { encryptEnvelope } from '@sealwright/envelope'
import fc from 'fast-check'

import { addGeneration } from './add-generation.ts'
import { type Keyring } from './keyring.ts'
import { openKeyring, OpenKeyring } from './open-keyring.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { codeNow, keyringOf, sealIdOf, sealKeyNamed, signal } from './testing/samples.ts'

const member = fakeMember('a')
const aad = new Uint8Array()
const plaintext = Uint8Array.of(1, 2, 3)

async function openNamed(name: string): Promise<OpenKeyring> {
  const keyring = await keyringOf(member, sealKeyNamed(name))
  return openKeyring({ keyring, sealId: sealIdOf(keyring), member, signal })
}

describe('an open keyring', () => {
  it('gives back any plaintext under the same associated data', async () => {
    const open = await openNamed('k')
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.uint8Array({ maxLength: 50 }), (bytes, data) => {
        const blob = open.encryptBlob({ plaintext: bytes, aad: data, randomBytes })
        expect(Buffer.compare(open.decryptBlob({ blob, aad: data }), bytes)).toBe(0)
      }),
    )
  })

  it('refuses a blob under other associated data', async () => {
    const open = await openNamed('k')
    const blob = open.encryptBlob({ plaintext, aad, randomBytes })
    expect(codeNow(() => open.decryptBlob({ blob, aad: Uint8Array.of(0) }))).toBe('ENVELOPE_AUTH_FAILED')
  })

  it('refuses a blob with any single bit flipped', async () => {
    const open = await openNamed('k')
    const blob = open.encryptBlob({ plaintext, aad, randomBytes })
    for (let bit = 0; bit < blob.byteLength * 8; bit += 1) {
      const changed = Uint8Array.from(blob)
      const offset = Math.floor(bit / 8)
      changed[offset] = (changed[offset] ?? 0) ^ (1 << (bit % 8))
      expect(codeNow(() => open.decryptBlob({ blob: changed, aad }))).toMatch(
        /^(ENVELOPE_(MALFORMED|UNSUPPORTED|TOO_LARGE|PURPOSE_MISMATCH|AUTH_FAILED)|KEYRING_KEY_UNKNOWN)$/,
      )
    }
  })

  it('refuses a blob of another cluster', async () => {
    const blob = (await openNamed('other')).encryptBlob({ plaintext, aad, randomBytes })
    const open = await openNamed('k')
    expect(codeNow(() => open.decryptBlob({ blob, aad }))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('refuses a blob that only claims its key id', async () => {
    const open = await openNamed('k')
    const blob = encryptEnvelope({
      key: createSecretKey(randomBytes(32)),
      purpose: 'openbao-blob',
      keyRef: new TextEncoder().encode(open.keyId),
      context: [open.keyring.clusterId, aad],
      plaintext,
      randomBytes,
    })
    expect(codeNow(() => open.decryptBlob({ blob, aad }))).toBe('ENVELOPE_AUTH_FAILED')
  })

  it('does nothing more once it is closed', async () => {
    const open = await openNamed('k')
    const blob = open.encryptBlob({ plaintext, aad, randomBytes })
    open[Symbol.dispose]()
    expect(codeNow(() => open.keyId)).toBe('KEYRING_CLOSED')
    expect(codeNow(() => open.encryptBlob({ plaintext, aad, randomBytes }))).toBe('KEYRING_CLOSED')
    expect(codeNow(() => open.decryptBlob({ blob, aad }))).toBe('KEYRING_CLOSED')
    expect(codeNow(() => open.mergedWith(open.keyring))).toBe('KEYRING_CLOSED')
  })

  it('opens with the plain seal keys too, and not with a forged keyring', async () => {
    const keyring = await keyringOf(member, sealKeyNamed('k'))
    const sealKeys = matchSealKey({ keyring, sealKey: sealKeyNamed('k') })
    expect(new OpenKeyring(keyring, sealKeys).keyId).toBe(keyring.generations[0]?.keyId)
    expect(codeNow(() => new OpenKeyring({ ...keyring, revision: 2 }, sealKeys))).toBe('KEYRING_AUTH_FAILED')
  })

  it('works on after the seal keys were wiped', async () => {
    const keyring = await keyringOf(member, sealKeyNamed('k'))
    const sealKeys = matchSealKey({ keyring, sealKey: sealKeyNamed('k') })
    const open = new OpenKeyring(keyring, sealKeys)
    sealKeys.wipe()
    expect(open.decryptBlob({ blob: open.encryptBlob({ plaintext, aad, randomBytes }), aad })).toEqual(plaintext)
  })
})

describe('judging another keyring', () => {
  function rotated(keyring: Keyring): Keyring {
    const sealKeys = matchSealKey({ keyring, sealKey: sealKeyNamed('k') })
    return addGeneration({ keyring, sealKeys, randomBytes }).keyring
  }

  it('tells an authentic one from a changed one', async () => {
    const open = await openNamed('k')
    const twin = await keyringOf(fakeMember('twin'), sealKeyNamed('k'))
    expect(open.isAuthentic(twin)).toBe(true)
    expect(open.isAuthentic({ ...twin, revision: 2 })).toBe(false)
  })

  it('cannot say anything about one that is generations ahead', async () => {
    const open = await openNamed('k')
    expect(codeNow(() => open.isAuthentic(rotated(open.keyring)))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('tells one of another cluster', async () => {
    const open = await openNamed('k')
    const other = await keyringOf(member, sealKeyNamed('other'))
    expect(codeNow(() => open.isAuthentic(other))).toBe('KEYRING_OTHER_CLUSTER')
  })
})
