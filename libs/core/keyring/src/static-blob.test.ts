import { createCipheriv, createSecretKey, randomBytes } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { KeyringError } from './keyring-error.ts'
import { type OpenKeyring, openKeyring } from './open-keyring.ts'
import { matchSealKey } from './seal-keys.ts'
import { decryptStaticBlob } from './static-blob.ts'
import { fakeMember } from './testing/fake-member.ts'
import { activated, codeNow, keyringOf, pending, retired, sealIdOf, sealKeyNamed, signal } from './testing/samples.ts'

const KEY_ID = 'static-1'
const NO_AAD = new Uint8Array()
const MALFORMED = 'KEYRING_STATIC_BLOB_MALFORMED'
const AUTH_FAILED = 'KEYRING_STATIC_BLOB_AUTH_FAILED'

/** As OpenBao's own static seal does it, under the seal key of this name. */
function staticBlob(keyName: string, plaintext: Uint8Array, aad = NO_AAD) {
  const iv = Uint8Array.from(randomBytes(12))
  const cipher = sealKeyNamed(keyName).reveal(key => createCipheriv('aes-256-gcm', key, iv))
  cipher.setAAD(aad)
  const encrypted = [cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]
  return { ciphertext: Uint8Array.from(Buffer.concat(encrypted)), iv, keyId: KEY_ID }
}

const member = fakeMember('a')

/** A keyring of the static key, rotated so often; with the first generation retired, if that is said. */
async function taken({ rotations = 0, isFirstRetired = false, opensStaticBlobs = true } = {}): Promise<OpenKeyring> {
  const sealKey = sealKeyNamed('static')
  const begun = await keyringOf(member, sealKey, KEY_ID)
  let holding = { keyring: begun, sealKeys: matchSealKey({ keyring: begun, sealKey }) }
  for (let round = 0; round < rotations; round += 1) {
    const added = pending(holding)
    holding = { ...added, ...activated(added, added.generation) }
  }
  const [first] = holding.keyring.generations
  if (first === undefined) throw new Error('no generation')
  const { keyring } = isFirstRetired ? retired(holding, first) : holding
  return openKeyring({ keyring, sealId: sealIdOf(keyring), member, signal }, { opensStaticBlobs })
}

describe('static blob vectors', () => {
  const fields = { key: 'hex', iv: 'hex', ciphertext: 'hex', aad: 'hex' } as const

  it.each(readVectors('static-blob', 'blobs.json', { ...fields, keyId: 'text', plaintext: 'hex' }))(
    'decrypt $name',
    ({ key, plaintext, aad, ...blob }) => {
      expect(toHex(decryptStaticBlob(blob, { key: createSecretKey(key), aad }))).toBe(toHex(plaintext))
    },
  )

  it.each(readVectors('static-blob', 'refused.json', { ...fields, code: 'text' }))(
    'refuse $name',
    ({ key, aad, code, ...blob }) => {
      expect(codeNow(() => decryptStaticBlob(blob, { key: createSecretKey(key), aad }))).toBe(code)
    },
  )
})

describe('a blob of the static seal', () => {
  it('decrypts in a keyring that was begun with its key and key id, and is to open such blobs', async () => {
    const open = await taken()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (bytes, aad) => {
        const plaintext = open.decryptStaticBlob({ ...staticBlob('static', bytes, aad), aad })
        expect(Buffer.compare(plaintext, bytes)).toBe(0)
      }),
    )
  })

  it('is refused when cut anywhere, and with any single bit flipped', async () => {
    const open = await taken()
    const blob = staticBlob('static', randomBytes(48))
    const codeOf = (change: { readonly ciphertext?: Uint8Array; readonly iv?: Uint8Array }) =>
      codeNow(() => open.decryptStaticBlob({ ...blob, ...change, aad: NO_AAD }))
    const codes = new Set<string>()
    for (const field of ['ciphertext', 'iv'] as const) {
      for (let length = 0; length < blob[field].length; length += 1) {
        codes.add(codeOf({ [field]: blob[field].slice(0, length) }))
      }
      for (let bit = 0; bit < blob[field].length * 8; bit += 1) {
        const bytes = Uint8Array.from(blob[field])
        const offset = Math.floor(bit / 8)
        bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (bit % 8))
        expect(codeOf({ [field]: bytes })).toBe(AUTH_FAILED)
      }
    }
    expect([...codes].sort()).toEqual([AUTH_FAILED, MALFORMED])
  })

  it('is refused under another key and under another key id, and the error names both ids', async () => {
    const open = await taken()
    expect(codeNow(() => open.decryptStaticBlob({ ...staticBlob('another', Uint8Array.of(1)), aad: NO_AAD }))).toBe(
      AUTH_FAILED,
    )
    const otherId = { ...staticBlob('static', Uint8Array.of(1)), keyId: 'k"2', aad: NO_AAD }
    expect(() => open.decryptStaticBlob(otherId)).toThrow(KeyringError)
    expect(() => open.decryptStaticBlob(otherId)).toThrow(/the key id "k\\"2"; .* is static-1$/)
    expect(codeNow(() => open.decryptStaticBlob(otherId))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('names at most 64 characters of a key id that a stranger made up', async () => {
    const open = await taken()
    const blob = { ...staticBlob('static', Uint8Array.of(1)), keyId: 'x'.repeat(5_000), aad: NO_AAD }
    expect(() => open.decryptStaticBlob(blob)).toThrow(new RegExp(`"x{64}"`))
  })

  it('is never decrypted where nobody asked for it', async () => {
    const open = await taken({ opensStaticBlobs: false })
    const blob = { ...staticBlob('static', Uint8Array.of(1)), aad: NO_AAD }
    expect(codeNow(() => open.decryptStaticBlob(blob))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('decrypts after rotations, of the first generation alone, and no more once that is retired', async () => {
    const blob = { ...staticBlob('static', Uint8Array.of(7)), aad: NO_AAD }
    const rotated = await taken({ rotations: 2 })
    expect(rotated.decryptStaticBlob(blob)).toEqual(Uint8Array.of(7))
    expect(codeNow(() => rotated.decryptStaticBlob({ ...blob, keyId: rotated.keyId }))).toBe('KEYRING_KEY_UNKNOWN')
    const spent = await taken({ rotations: 1, isFirstRetired: true })
    expect(codeNow(() => spent.decryptStaticBlob(blob))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('goes on decrypting after a merge, until the other side has retired its generation', async () => {
    const blob = { ...staticBlob('static', Uint8Array.of(7)), aad: NO_AAD }
    const first = await taken()
    const rotated = await taken({ rotations: 1, opensStaticBlobs: false })
    const merged = first.mergedWith(rotated)
    expect(merged).not.toBe(first)
    expect(merged.decryptStaticBlob(blob)).toEqual(Uint8Array.of(7))
    const spent = merged.mergedWith(await retiredFrom(merged))
    expect(codeNow(() => spent.decryptStaticBlob(blob))).toBe('KEYRING_KEY_UNKNOWN')
  })

  it('decrypts no more once the keyring is closed', async () => {
    const open = await taken()
    open.close()
    const blob = { ...staticBlob('static', Uint8Array.of(1)), aad: NO_AAD }
    expect(codeNow(() => open.decryptStaticBlob(blob))).toBe('KEYRING_CLOSED')
  })
})

/** What another node made of the same keyring: its first generation is retired. */
async function retiredFrom({ keyring }: OpenKeyring): Promise<OpenKeyring> {
  const [first] = keyring.generations
  if (first === undefined) throw new Error('no generation')
  const holding = { keyring, sealKeys: matchSealKey({ keyring, sealKey: sealKeyNamed('static') }) }
  const next = retired(holding, first).keyring
  return openKeyring({ keyring: next, sealId: sealIdOf(next), member, signal }, { opensStaticBlobs: true })
}
