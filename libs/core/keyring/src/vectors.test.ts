import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { fromHex, readVectors, toHex } from '@sealwright/testing-vectors'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import {
  deriveBlobKey,
  deriveClusterId,
  deriveKeyCheck,
  deriveKeyId,
  deriveLinkKey,
  deriveMacKey,
  deriveSealId,
} from './key-schedule.ts'
import { openKeyring } from './open-keyring.ts'
import { RECORD_METHODS, SEAL_TYPES } from './registry.ts'
import { type SealMember } from './seal.ts'
import { unwrapSealKeys } from './seal-keys.ts'
import { codeNow, codeOf, signal } from './testing/samples.ts'

/** Names the registry entry of this text, or fails. */
function known<Name extends string>(registry: { readonly names: ReadonlyMap<number, Name> }, text: string): Name {
  const name = [...registry.names.values()].find(candidate => candidate === text)
  if (name === undefined) throw new Error(`unknown name ${text}`)
  return name
}

/** A list of objects whose fields are all text, or numbers. */
function rows(value: unknown): readonly Readonly<Record<string, string | number>>[] {
  return value as readonly Readonly<Record<string, string | number>>[]
}

/** A member that knows the KEKs of a vector. */
function vectorMember(memberId: Uint8Array, keks: unknown): Pick<SealMember, 'memberId' | 'unsealKek'> {
  return {
    memberId,
    unsealKek: sealedKek => {
      const row = rows(keks).find(candidate => candidate.sealedKek === toHex(sealedKek))
      return row === undefined
        ? Promise.reject(new Error('a KEK that the vector does not know'))
        : Promise.resolve(new Secret(fromHex(String(row.kek))))
    },
  }
}

describe('key schedule vectors', () => {
  const vectors = readVectors('keyring', 'key-schedule.json', {
    sealKey: 'hex',
    clusterId: 'hex',
    keyCheck: 'hex',
    keyId: 'text',
    blobKey: 'hex',
    macKey: 'hex',
    linkKey: 'hex',
    sealIds: 'json',
  })

  it.each(vectors)('$name', ({ sealKey: bytes, clusterId, keyCheck, keyId, blobKey, macKey, linkKey, sealIds }) => {
    const sealKey = new Secret(bytes)
    expect(toHex(deriveClusterId(sealKey))).toBe(toHex(clusterId))
    expect(toHex(deriveKeyCheck(sealKey))).toBe(toHex(keyCheck))
    expect(deriveKeyId(sealKey)).toBe(keyId)
    expect(toHex(deriveBlobKey(sealKey, clusterId).export())).toBe(toHex(blobKey))
    expect(toHex(deriveMacKey(sealKey, clusterId).export())).toBe(toHex(macKey))
    expect(deriveLinkKey(sealKey, clusterId).reveal(toHex)).toBe(toHex(linkKey))
    for (const [typeAndName, sealId] of Object.entries(sealIds as Record<string, string>)) {
      const [sealType = '', name = ''] = typeAndName.split(' ')
      expect(toHex(deriveSealId(clusterId, known(SEAL_TYPES, sealType), name))).toBe(sealId)
    }
  })
})

describe('vectors of new keyrings', () => {
  const vectors = readVectors('keyring', 'create.json', {
    sealKey: 'hex',
    keyId: 'text?',
    sealName: 'text',
    sealType: 'text',
    method: 'text',
    label: 'text',
    memberId: 'hex',
    wrappingKey: 'hex',
    data: 'hex',
    slot: 'number',
    createdAtMs: 'number',
    random: 'hex',
    sealedKek: 'hex',
    keyring: 'hex',
  })

  it.each(vectors)('$name', async vector => {
    let offset = 0
    const keyring = await createKeyring({
      sealKey: new Secret(Uint8Array.from(vector.sealKey)),
      keyId: vector.keyId,
      sealName: vector.sealName,
      method: known(RECORD_METHODS, vector.method),
      label: vector.label,
      wrappingKey: vector.wrappingKey,
      data: vector.data,
      slot: vector.slot,
      member: {
        sealType: known(SEAL_TYPES, vector.sealType),
        memberId: vector.memberId,
        sealKek: () => Promise.resolve(vector.sealedKek),
      },
      now: () => vector.createdAtMs,
      randomBytes: byteLength => vector.random.slice(offset, (offset += byteLength)),
      signal,
    })
    expect(toHex(encodeKeyring(keyring))).toBe(toHex(vector.keyring))
    expect(offset).toBe(vector.random.byteLength)
  })

  it.each(vectors)('reads back: $name', ({ keyring }) => {
    expect(toHex(encodeKeyring(decodeKeyring(keyring)))).toBe(toHex(keyring))
  })
})

describe('vectors of keyrings that open', () => {
  const vectors = readVectors('keyring', 'open.json', {
    keyring: 'hex',
    sealId: 'hex',
    memberId: 'hex',
    keks: 'json',
    clusterId: 'hex',
    keyId: 'text',
    generations: 'json',
    blobs: 'json',
  })

  it.each(vectors)(
    '$name',
    async ({ keyring: bytes, sealId, memberId, keks, clusterId, keyId, generations, blobs }) => {
      const keyring = decodeKeyring(bytes)
      const member = vectorMember(memberId, keks)
      const sealKeys = await unwrapSealKeys({ keyring, sealId, member, signal })
      expect(sealKeys.generations).toEqual(generations)
      const open = await openKeyring({ keyring, sealId, member, signal })
      expect(open.keyId).toBe(keyId)
      expect(toHex(open.keyring.clusterId)).toBe(toHex(clusterId))
      expect(rows(blobs).length).toBeGreaterThan(0)
      for (const { blob, aad, plaintext } of rows(blobs)) {
        const decrypted = open.decryptBlob({ blob: fromHex(String(blob)), aad: fromHex(String(aad)) })
        expect(toHex(decrypted)).toBe(plaintext)
      }
      const plaintext = Uint8Array.of(1, 2, 3)
      const blob = open.encryptBlob({ plaintext, aad: Uint8Array.of(9), randomBytes })
      expect(toHex(open.decryptBlob({ blob, aad: Uint8Array.of(9) }))).toBe('010203')
    },
  )

  it.each(vectors)('reads back: $name', ({ keyring }) => {
    expect(toHex(encodeKeyring(decodeKeyring(keyring)))).toBe(toHex(keyring))
  })
})

describe('vectors of keyrings that do not open', () => {
  const vectors = readVectors('keyring', 'not-opened.json', {
    keyring: 'hex',
    sealId: 'hex',
    memberId: 'hex',
    keks: 'json',
    code: 'text',
  })

  it.each(vectors)('$code: $name', async ({ keyring: bytes, sealId, memberId, keks, code }) => {
    const keyring = decodeKeyring(bytes)
    expect(await codeOf(() => openKeyring({ keyring, sealId, member: vectorMember(memberId, keks), signal }))).toBe(
      code,
    )
  })
})

describe('vectors of what is no keyring', () => {
  const vectors = readVectors('keyring', 'refused.json', { keyring: 'hex', code: 'text' })

  it.each(vectors)('$code: $name', ({ keyring, code }) => {
    expect(codeNow(() => decodeKeyring(keyring))).toBe(code)
  })
})
