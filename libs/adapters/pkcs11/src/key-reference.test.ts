import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readVectors, toHex } from '@sealwright/testing-vectors'
import { type KeyFacts, type TokenFacts } from './channel/facts.ts'
import { aesKeyReference, pkcs11MemberId, readSpki, rsaKeyReference, spkiOf } from './key-reference.ts'

const vectors = readVectors('pkcs11-sealed-kek', 'key-references.json', {
  kind: 'text',
  spki: 'hex?',
  id: 'hex?',
  serialNumber: 'text?',
  label: 'text?',
  keyReference: 'hex',
  memberId: 'hex',
})

const token: TokenFacts = {
  slot: new Uint8Array(8),
  label: 'node-1',
  manufacturer: 'maker',
  model: 'model',
  serialNumber: '0123',
  flags: 0,
  hasAesGcm: true,
  hasRsaOaep: true,
}

describe('the vectors of key references', () => {
  it.each(vectors)('$name', ({ spki, id, serialNumber, label, keyReference, memberId }) => {
    const reference =
      spki === undefined
        ? aesKeyReference(
            { id: id ?? new Uint8Array(), label: label ?? '' },
            { ...token, serialNumber: serialNumber ?? '' },
          )
        : rsaKeyReference(spki)
    expect(toHex(reference)).toBe(toHex(keyReference))
    expect(toHex(pkcs11MemberId(reference))).toBe(toHex(memberId))
  })
})

describe('a key with a short CKA_ID', () => {
  const key = { id: Uint8Array.of(1), label: 'kek' }

  it.each([
    ['token', { ...token, serialNumber: '0124' }, key],
    ['label', token, { ...key, label: 'kek2' }],
    ['CKA_ID', token, { ...key, id: Uint8Array.of(2) }],
  ])('is another one with another %s', (_what, otherToken, otherKey) => {
    expect(aesKeyReference(otherKey, otherToken)).not.toEqual(aesKeyReference(key, token))
  })

  it('is not mixed up with one whose fields are cut elsewhere', () => {
    expect(aesKeyReference({ id: new Uint8Array(0), label: 'a' }, { ...token, serialNumber: 'bc' })).not.toEqual(
      aesKeyReference({ id: new Uint8Array(0), label: 'ca' }, { ...token, serialNumber: 'b' }),
    )
  })
})

describe('the public key of what a token tells', () => {
  it('is the same with zeros before the modulus, which some tokens put there', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const { n = '' } = publicKey.export({ format: 'jwk' })
    const modulus = Buffer.from(n, 'base64url')
    const facts = (bytes: Uint8Array): KeyFacts => ({
      handle: new Uint8Array(8),
      kind: 'rsa',
      id: new Uint8Array(),
      label: '',
      bits: 2048,
      modulus: bytes,
      publicExponent: Uint8Array.of(0, 1, 0, 1),
      isSensitive: undefined,
      isExtractable: undefined,
      wasAlwaysSensitive: undefined,
      wasNeverExtractable: undefined,
      isLocal: undefined,
    })
    const spki = spkiOf(facts(modulus))
    expect(Buffer.from(spki)).toEqual(publicKey.export({ type: 'spki', format: 'der' }))
    expect(spkiOf(facts(Uint8Array.of(0, 0, ...modulus)))).toEqual(spki)
    expect(readSpki(spki).equals(createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })))).toBe(true)
  })
})
