import { createHash, createSecretKey } from 'node:crypto'

import { readVectors, toHex } from '@sealwright/testing-vectors'

import { decryptXaes256Gcm, deriveXaesKey, encryptXaes256Gcm } from './xaes-256-gcm.ts'

const vectors = readVectors('envelope', 'xaes-256-gcm.json', {
  key: 'hex',
  nonce: 'hex',
  plaintext: 'hex',
  additionalData: 'hex',
  derivedKey: 'hex',
  ciphertext: 'hex',
  tag: 'hex',
})

/** A million iterations take most of a minute: only with SLOW=1. */
const mostIterations = process.env.SLOW === '1' ? 1_000_000 : 10_000
const accumulated = readVectors('envelope', 'xaes-256-gcm-accumulated.json', {
  iterations: 'number',
  hash: 'hex',
}).filter(({ iterations }) => iterations <= mostIterations)

describe('the C2SP vectors of XAES-256-GCM', () => {
  it.each(vectors)('give the derived key: $name', ({ key, nonce, derivedKey }) => {
    expect(toHex(deriveXaesKey(createSecretKey(key), nonce))).toBe(toHex(derivedKey))
  })

  it.each(vectors)('encrypt: $name', ({ key, nonce, additionalData, plaintext, ciphertext, tag }) => {
    const encrypted = encryptXaes256Gcm({ key: createSecretKey(key), nonce, additionalData, plaintext })
    expect(toHex(encrypted.ciphertext)).toBe(toHex(ciphertext))
    expect(toHex(encrypted.tag)).toBe(toHex(tag))
  })

  it.each(vectors)('decrypt: $name', ({ key, nonce, additionalData, plaintext, ciphertext, tag }) => {
    const decrypted = decryptXaes256Gcm({ key: createSecretKey(key), nonce, additionalData, ciphertext, tag })
    expect(decrypted === null ? null : toHex(decrypted)).toBe(toHex(plaintext))
  })

  it.each(accumulated)('agree over $name', ({ iterations, hash }) => {
    expect(accumulate(iterations)).toBe(toHex(hash))
  })
})

describe('XAES-256-GCM refuses', () => {
  const key = createSecretKey(Buffer.alloc(32, 1))
  const nonce = new Uint8Array(24)
  const additionalData = new Uint8Array()

  it.each([16, 24, 31, 33])('a key of %i bytes', byteLength => {
    expect(() => deriveXaesKey(createSecretKey(Buffer.alloc(byteLength)), nonce)).toThrow(RangeError)
  })

  it.each([0, 12, 23, 25])('a nonce of %i bytes', byteLength => {
    expect(() => deriveXaesKey(key, new Uint8Array(byteLength))).toThrow(RangeError)
  })

  it.each([0, 4, 12, 15, 17])('a tag of %i bytes: a short one would be easy to guess', byteLength => {
    const { ciphertext, tag } = encryptXaes256Gcm({ key, nonce, additionalData, plaintext: Uint8Array.of(1, 2, 3) })
    const changed = new Uint8Array(byteLength)
    changed.set(tag.subarray(0, byteLength))
    expect(() => decryptXaes256Gcm({ key, nonce, additionalData, ciphertext, tag: changed })).toThrow(RangeError)
  })

  it('to hand out bytes that are not authentic', () => {
    const { ciphertext, tag } = encryptXaes256Gcm({ key, nonce, additionalData, plaintext: Uint8Array.of(1, 2, 3) })
    tag[0] = (tag[0] ?? 0) ^ 1
    expect(decryptXaes256Gcm({ key, nonce, additionalData, ciphertext, tag })).toBeNull()
  })
})

/** The accumulated test of the C2SP document: inputs drawn from SHAKE-128, ciphertexts hashed with SHAKE-128. */
function accumulate(iterations: number): string {
  const longestInputBytes = 32 + 24 + 2 * (1 + 255)
  const stream = createHash('shake128', { outputLength: iterations * longestInputBytes }).digest()
  let offset = 0
  const take = (byteLength: number) => stream.subarray(offset, (offset += byteLength))
  const takeShort = () => take(take(1)[0] ?? 0)
  const hash = createHash('shake128', { outputLength: 32 })
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const key = createSecretKey(take(32))
    const nonce = take(24)
    const plaintext = takeShort()
    const additionalData = takeShort()
    const { ciphertext, tag } = encryptXaes256Gcm({ key, nonce, additionalData, plaintext })
    hash.update(ciphertext).update(tag)
  }
  return hash.digest('hex')
}
