import fc from 'fast-check'
import { type EncryptedObject, KubeStorageError, parseEncryptedObject } from './index.ts'
import { type EncryptedObjectFields, readByLibrary, SOURCE_TYPES, writeByLibrary } from './testing/protobuf.ts'

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
const filled = (length: number, value = 7): Uint8Array => new Uint8Array(length).fill(value)

const SMALL: EncryptedObjectFields = {
  encryptedData: bytes(1, 2, 3),
  keyID: 'sealwright.v1.é',
  encryptedDEKSource: filled(200),
  annotations: { 'binding.kms.sealwright.io': filled(32, 9), 'empty.example.org.': bytes() },
  encryptedDEKSourceType: 1,
}

/** In the library's words, to compare. */
function inItsWords({ annotations, encryptedDekSourceType, ...object }: EncryptedObject): EncryptedObjectFields {
  return {
    encryptedData: Uint8Array.from(object.encryptedData),
    keyID: object.keyId,
    encryptedDEKSource: Uint8Array.from(object.encryptedDekSource),
    annotations: Object.fromEntries([...annotations].map(([name, value]) => [name, Uint8Array.from(value)])),
    encryptedDEKSourceType: SOURCE_TYPES.indexOf(encryptedDekSourceType),
  }
}

function plain(fields: EncryptedObjectFields): EncryptedObjectFields {
  const { encryptedData, keyID, encryptedDEKSource, annotations, encryptedDEKSourceType } = fields
  return {
    ...{ encryptedData: Uint8Array.from(encryptedData), keyID, encryptedDEKSourceType },
    encryptedDEKSource: Uint8Array.from(encryptedDEKSource),
    annotations: Object.fromEntries(Object.entries(annotations).map(([name, value]) => [name, Uint8Array.from(value)])),
  }
}

/** What comes of bytes: an object, or the one code. Anything else is a bug, and passes through. */
function tryParse(message: Uint8Array): EncryptedObject | 'KUBE_STORAGE_MALFORMED' {
  try {
    return parseEncryptedObject(message)
  } catch (error) {
    if (error instanceof KubeStorageError) return error.code
    throw error
  }
}

const fields = fc.record({
  encryptedData: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  keyID: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }),
  encryptedDEKSource: fc.uint8Array({ minLength: 1, maxLength: 1_024 }),
  annotations: fc.dictionary(fc.domain(), fc.uint8Array({ maxLength: 60 }), { maxKeys: 4 }),
  encryptedDEKSourceType: fc.constantFrom(0, 1),
})

/** The bytes of one field, written by hand. */
function field(number: number, value: Uint8Array): Uint8Array {
  if (value.byteLength > 0x7f) throw new Error('too long for a test')
  return bytes((number << 3) | 2, value.byteLength, ...value)
}

const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))
const ascii = (text: string): Uint8Array => Buffer.from(text)
const SHORTEST = [field(1, bytes(1)), field(2, ascii('k')), field(3, bytes(2))] as const

describe('an encrypted object', () => {
  it('is read as a protobuf library reads it', () => {
    expect(inItsWords(parseEncryptedObject(writeByLibrary(SMALL)))).toEqual(SMALL)
    fc.assert(
      fc.property(fields, object => {
        const written = writeByLibrary(object)
        expect(inItsWords(parseEncryptedObject(written))).toEqual(plain(readByLibrary(written)))
      }),
    )
  })

  it('is taken for a key of its own where no type of the source is written', () => {
    const object = parseEncryptedObject(join(...SHORTEST))
    expect(object).toEqual({
      ...{ encryptedData: bytes(1), keyId: 'k', encryptedDekSource: bytes(2) },
      ...{ annotations: new Map(), encryptedDekSourceType: 'aes-gcm-key' },
    })
  })

  it('is taken in any order of its fields', () => {
    const [data, keyId, source] = SHORTEST
    expect(parseEncryptedObject(join(source, bytes(0x28, 1), keyId, data))).toMatchObject({
      encryptedDekSourceType: 'hkdf-sha256-xnonce-aes-gcm-seed',
    })
  })

  it('is refused wherever it is cut off', () => {
    const whole = writeByLibrary(SMALL)
    // The last field alone may be missing: it is the type of the source, which has a default.
    for (let length = 0; length < whole.byteLength - 2; length += 1) {
      const cut = tryParse(whole.subarray(0, length))
      // Between two annotations nothing shows: there are fewer of them.
      if (cut !== 'KUBE_STORAGE_MALFORMED') expect(cut.annotations.size).toBeLessThan(2)
    }
    expect(tryParse(whole.subarray(0, whole.byteLength - 1))).toBe('KUBE_STORAGE_MALFORMED')
    expect(tryParse(whole.subarray(0, 50))).toBe('KUBE_STORAGE_MALFORMED')
  })

  it('is another one, or none, with any bit flipped, and never the same', () => {
    // An empty value is the same as none.
    const object = { ...SMALL, annotations: { 'binding.kms.sealwright.io': filled(32, 9) } }
    const whole = writeByLibrary(object)
    let refused = 0
    for (let bit = 0; bit < whole.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(whole)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const parsed = tryParse(flipped)
      if (parsed === 'KUBE_STORAGE_MALFORMED') {
        refused += 1
        continue
      }
      expect(inItsWords(parsed)).not.toEqual(object)
    }
    expect(refused).toBeGreaterThan(100)
  })

  it('ends in an object or in its one code, whatever is read', () => {
    let taken = 0
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), noise => {
        const parsed = tryParse(join(...SHORTEST, noise))
        if (parsed !== 'KUBE_STORAGE_MALFORMED') taken += 1
      }),
      { numRuns: 20_000 },
    )
    expect(taken).toBeGreaterThan(50)
  })

  const [data, keyId, source] = SHORTEST
  it.each<[string, Uint8Array]>([
    ['nothing', bytes()],
    ['no encrypted data', join(keyId, source)],
    ['empty encrypted data', join(field(1, bytes()), keyId, source)],
    ['encrypted data that is empty the second time', join(data, keyId, source, field(1, bytes()))],
    ['no key id', join(data, source)],
    ['a key id that is a number', join(data, source, bytes(0x10, 1))],
    ['a key id that is no UTF-8', join(data, field(2, bytes(0xc3)), source)],
    ['a key id that is no UTF-8 the first time', join(data, field(2, bytes(0xc3)), keyId, source)],
    ['no source', join(data, keyId)],
    ['an unknown type', join(...SHORTEST, bytes(0x28, 2))],
    ['an unknown type the second time', join(...SHORTEST, bytes(0x28, 1, 0x28, 2))],
    ['field 0', join(...SHORTEST, bytes(0x02, 0))],
    ['a field beyond the last', join(...SHORTEST, bytes(0x82, 0x80, 0x80, 0x80, 0x10, 0))],
    ['a length beyond its end', join(data, keyId, bytes(0x1a, 2, 2))],
    ['64 bits cut off', join(...SHORTEST, bytes(0x31, ...filled(7)))],
    ['32 bits cut off', join(...SHORTEST, bytes(0x35, ...filled(3)))],
    ['a number of more than 64 bits', join(...SHORTEST, bytes(0x30, ...filled(9, 0xff), 2))],
    ['a number that does not end', join(...SHORTEST, bytes(0x30, ...filled(10, 0xff), 0))],
    ['a group that is ended by another', join(...SHORTEST, bytes(0x33, 0x3c))],
    ['an annotation without a name', join(...SHORTEST, field(4, field(2, bytes(1))))],
    ['an annotation whose name is no domain', join(...SHORTEST, field(4, field(1, ascii('a'))))],
    ['an annotation whose name has a label of 64', join(...SHORTEST, field(4, field(1, ascii(`a.${'b'.repeat(64)}`))))],
    ['an annotation that is cut off', join(...SHORTEST, field(4, bytes(0x0a, 3, 0x61)))],
  ])('is refused with %s', (_what, message) => {
    expect(tryParse(message)).toBe('KUBE_STORAGE_MALFORMED')
  })

  it.each<[string, Uint8Array, Partial<EncryptedObject>]>([
    ['a field that is newer than this', join(...SHORTEST, bytes(0x30, 7), field(7, ascii('new'))), {}],
    ['64 and 32 bits that it does not know', join(...SHORTEST, bytes(0x31, ...filled(8), 0x35, ...filled(4))), {}],
    ['a group that it does not know', join(...SHORTEST, bytes(0x33), data, bytes(0x34)), {}],
    ['an object within a group', join(...SHORTEST, bytes(0x33), field(2, ascii('other')), bytes(0x34)), { keyId: 'k' }],
    ['its key id twice', join(...SHORTEST, field(2, ascii('last'))), { keyId: 'last' }],
    ['a type that is text, too', join(...SHORTEST, field(5, bytes(1))), { encryptedDekSourceType: 'aes-gcm-key' }],
    ['a number of ten bytes', join(...SHORTEST, bytes(0x30, ...filled(9, 0xff), 1)), {}],
    [
      'an annotation without a value',
      join(...SHORTEST, field(4, field(1, ascii('a.b')))),
      { annotations: new Map([['a.b', bytes()]]) },
    ],
  ])('is taken with %s', (_what, message, expected) => {
    expect(tryParse(message)).toMatchObject({ keyId: 'k', ...expected })
  })

  it.each<[string, Partial<EncryptedObjectFields>]>([
    ['a key id of 1,025 bytes', { keyID: 'k'.repeat(1_025) }],
    ['a key id of 1,026 bytes in fewer characters', { keyID: 'é'.repeat(513) }],
    ['a source of 1,025 bytes', { encryptedDEKSource: filled(1_025) }],
    ['annotations of 32,769 bytes', { annotations: { 'a.b': filled(32_766) } }],
    ['a name of 254 characters', { annotations: { [`${'a.'.repeat(126)}bc`]: filled(1) } }],
  ])('is refused with %s', (_what, change) => {
    expect(tryParse(writeByLibrary({ ...SMALL, ...change }))).toBe('KUBE_STORAGE_MALFORMED')
  })

  it.each<[string, Partial<EncryptedObjectFields>]>([
    ['a key id of 1,024 bytes', { keyID: 'k'.repeat(1_024) }],
    ['a source of 1,024 bytes', { encryptedDEKSource: filled(1_024) }],
    ['annotations of 32,768 bytes', { annotations: { 'a.b': filled(32_765) } }],
    ['a name of 253 characters', { annotations: { [`${'a.'.repeat(126)}b`]: filled(1) } }],
    ['data of 3 MB', { encryptedData: filled(3_000_000) }],
  ])('may have %s', (_what, change) => {
    expect(tryParse(writeByLibrary({ ...SMALL, ...change }))).toMatchObject({
      encryptedDekSource: expect.anything() as unknown,
    })
  })
})
