import { createSecretKey, randomBytes } from 'node:crypto'

import { encryptEnvelope } from '@sealwright/envelope'
import fc from 'fast-check'

import { OpenKeyring } from './open-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, codeNow, opened, pending, rotated, unwrap } from './testing/samples.ts'

const member = fakeMember('a')
const aad = new Uint8Array()
const plaintext = Uint8Array.of(1, 2, 3)

async function openNamed(name: string): Promise<OpenKeyring> {
  return opened((await begun(member, name)).keyring, member)
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

  it('tells every key id that it decrypts, oldest first, and encrypts under the current one', async () => {
    const { keyring } = pending(rotated(await begun(member)))
    const open = await opened(keyring, member)
    expect(open.keyIds).toEqual(keyring.generations.map(({ keyId }) => keyId))
    expect(open.keyId).toBe(keyring.generations[1]?.keyId)
    expect(open.current).toBe(keyring.generations[1])
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

  it('closes what was merged from it no more than what it was merged from', async () => {
    const mine = await openNamed('k')
    const merged = mine.mergedWith((await begun(fakeMember('b'))).keyring)
    mine.close()
    expect(merged.decryptBlob({ blob: merged.encryptBlob({ plaintext, aad, randomBytes }), aad })).toEqual(plaintext)
  })

  it('opens with the plain seal keys too, and not with a changed keyring, nor with keys of another', async () => {
    const { keyring, sealKeys } = await begun(member)
    expect(OpenKeyring.from(keyring, sealKeys).keyId).toBe(keyring.generations[0]?.keyId)
    expect(codeNow(() => OpenKeyring.from({ ...keyring, revision: 2 }, sealKeys))).toBe('KEYRING_AUTH_FAILED')
    const { keyring: later } = rotated({ keyring, sealKeys })
    expect(codeNow(() => OpenKeyring.from(later, sealKeys))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('works on after the seal keys were wiped', async () => {
    const { keyring } = await begun(member)
    const sealKeys = await unwrap(keyring, member)
    const open = OpenKeyring.from(keyring, sealKeys)
    sealKeys.wipe()
    expect(open.decryptBlob({ blob: open.encryptBlob({ plaintext, aad, randomBytes }), aad })).toEqual(plaintext)
  })
})
