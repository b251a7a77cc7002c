import { readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { Pkcs11Error } from './errors.ts'
import { flipBit } from './fixtures/access.ts'
import { assertMadeBy, decodeSealedKek, encodeSealedKek, type SealedKek } from './sealed-kek.ts'

const vectors = readVectors('pkcs11-sealed-kek', 'containers.json', {
  container: 'hex',
  method: 'text',
  hash: 'text?',
  keyReference: 'hex',
  iv: 'hex?',
  ciphertext: 'hex',
})

const refused = readVectors('pkcs11-sealed-kek', 'refused.json', { container: 'hex', code: 'text' })

const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

const anyKek: fc.Arbitrary<SealedKek> = fc.oneof(
  fc.record({
    method: fc.constant('pkcs11-aes-gcm' as const),
    keyReference: fixed(32),
    iv: fixed(12),
    ciphertext: fixed(48),
  }),
  fc.record({
    method: fc.constant('pkcs11-rsa-oaep' as const),
    keyReference: fixed(32),
    oaepHash: fc.constantFrom('sha1' as const, 'sha256' as const, 'sha384' as const, 'sha512' as const),
    ciphertext: fc.uint8Array({ minLength: 256, maxLength: 2048 }),
  }),
)

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof Pkcs11Error) return error.code
    throw error
  }
  return 'none'
}

/** With its bytes in hex, which are compared much faster. */
function spelled(kek: SealedKek): object {
  return Object.fromEntries(
    Object.entries(kek).map(([name, value]) => [name, value instanceof Uint8Array ? toHex(value) : value]),
  )
}

function decoded(bytes: Uint8Array): SealedKek | undefined {
  return codeOf(() => decodeSealedKek(bytes)) === 'none' ? decodeSealedKek(bytes) : undefined
}

describe('the vectors of containers', () => {
  it.each(vectors)('$name: is read and written', ({ container, method, hash, keyReference, iv, ciphertext }) => {
    const kek = decodeSealedKek(container)
    expect(kek.method).toBe(method)
    expect('oaepHash' in kek ? kek.oaepHash : undefined).toBe(hash)
    expect(toHex(kek.keyReference)).toBe(toHex(keyReference))
    expect('iv' in kek ? toHex(kek.iv) : undefined).toBe(iv === undefined ? undefined : toHex(iv))
    expect(toHex(kek.ciphertext)).toBe(toHex(ciphertext))
    expect(toHex(encodeSealedKek(kek))).toBe(toHex(container))
  })

  it.each(refused)('$name: is refused', ({ container, code }) => {
    expect(codeOf(() => decodeSealedKek(container))).toBe(code)
  })
})

describe('a container', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(anyKek, kek => {
        const bytes = encodeSealedKek(kek)
        expect(spelled(decodeSealedKek(bytes))).toEqual(spelled(kek))
        expect(toHex(encodeSealedKek(decodeSealedKek(bytes)))).toBe(toHex(bytes))
      }),
    )
  })

  it.each(vectors)('$name: is refused when anything is missing or left over', ({ container }) => {
    for (let length = 0; length < container.byteLength; length += 1) {
      expect(codeOf(() => decodeSealedKek(container.subarray(0, length)))).toBe('PKCS11_BLOB_MALFORMED')
    }
    expect(codeOf(() => decodeSealedKek(Uint8Array.of(...container, 0)))).toBe('PKCS11_BLOB_MALFORMED')
  })

  it.each(vectors)('$name: has one spelling: every flipped bit is refused, or is another value', ({ container }) => {
    // What is written again as it was read is another value than that of any other container.
    const outcomes = Array.from({ length: container.byteLength * 8 }, (_, bit) => {
      const flipped = flipBit(container, bit)
      const value = decoded(flipped)
      return value === undefined || Buffer.compare(encodeSealedKek(value), flipped) === 0
    })
    expect(outcomes.indexOf(false)).toBe(-1)
  })

  it('is not taken out of noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
        expect(decoded(bytes)).toBeUndefined()
      }),
    )
  })

  it('is not written with fields that nobody could read', () => {
    const kek = { method: 'pkcs11-aes-gcm', keyReference: new Uint8Array(32), iv: new Uint8Array(12) } as const
    expect(codeOf(() => encodeSealedKek({ ...kek, ciphertext: new Uint8Array(47) }))).toBe('PKCS11_INVALID_ARGUMENT')
    expect(
      codeOf(() => encodeSealedKek({ ...kek, keyReference: new Uint8Array(31), ciphertext: new Uint8Array(48) })),
    ).toBe('PKCS11_INVALID_ARGUMENT')
  })

  it('says how it was made, which its record must say too', () => {
    fc.assert(
      fc.property(anyKek, kek => {
        expect(
          codeOf(() => {
            assertMadeBy(kek.method, kek)
          }),
        ).toBe('none')
        const other = kek.method === 'pkcs11-aes-gcm' ? 'pkcs11-rsa-oaep' : 'pkcs11-aes-gcm'
        expect(
          codeOf(() => {
            assertMadeBy(other, kek)
          }),
        ).toBe('PKCS11_METHOD_MISMATCH')
      }),
    )
  })
})
