import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { fromHex, readVectors, toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'

import { MAX_CONTEXT_FIELD_BYTES, MAX_CONTEXT_FIELDS } from './associated-data.ts'
import { EnvelopeError } from './envelope-error.ts'
import { decryptEnvelope, encryptEnvelope, type EncryptEnvelopeInput } from './envelope.ts'
import {
  type EnvelopePurpose,
  MAX_ENVELOPE_BYTES,
  MAX_KEY_REF_BYTES,
  MAX_PLAINTEXT_BYTES,
  parseEnvelope,
} from './format.ts'

/** The code of the {@link EnvelopeError} that `run` throws. */
function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof EnvelopeError) return error.code
    throw error
  }
  return 'none'
}

const purposes: readonly EnvelopePurpose[] = ['openbao-blob', 'keyring-record', 'keyring-link', 'kms-seed']

function purposeNamed(name: string): EnvelopePurpose {
  const purpose = purposes.find(candidate => candidate === name)
  if (purpose === undefined) throw new Error(`no purpose ${name}`)
  return purpose
}

const key = createSecretKey(randomBytes(32))
const context = [Uint8Array.of(1, 2), Uint8Array.of(3)]
const input: EncryptEnvelopeInput = {
  key,
  purpose: 'openbao-blob',
  keyRef: new TextEncoder().encode('k1'),
  context,
  plaintext: Uint8Array.of(5, 6, 7),
  randomBytes,
}
const sample = encryptEnvelope(input)

describe('envelope vectors', () => {
  const vectors = readVectors('envelope', 'envelope.json', {
    key: 'hex',
    purpose: 'text',
    keyRef: 'hex',
    context: 'hexList',
    nonce: 'hex',
    plaintext: 'hex',
    envelope: 'hex',
  })
  const refused = readVectors('envelope', 'refused.json', { envelope: 'hex', code: 'text' })

  it.each(vectors)('encrypt: $name', ({ key, purpose, keyRef, context, nonce, plaintext, envelope }) => {
    const encrypted = encryptEnvelope({
      key: createSecretKey(key),
      purpose: purposeNamed(purpose),
      keyRef,
      context,
      plaintext,
      randomBytes: () => nonce,
    })
    expect(toHex(encrypted)).toBe(toHex(envelope))
  })

  it.each(vectors)('decrypt: $name', ({ key, purpose, context, plaintext, envelope }) => {
    const decrypted = decryptEnvelope({
      key: createSecretKey(key),
      purpose: purposeNamed(purpose),
      context,
      bytes: envelope,
    })
    expect(toHex(decrypted)).toBe(toHex(plaintext))
  })

  it.each(vectors)('parse: $name', ({ purpose, keyRef, nonce, plaintext, envelope }) => {
    const parsed = parseEnvelope(envelope)
    expect(parsed.purpose).toBe(purpose)
    expect(toHex(parsed.keyRef)).toBe(toHex(keyRef))
    expect(toHex(parsed.nonce)).toBe(toHex(nonce))
    expect(parsed.ciphertext.byteLength).toBe(plaintext.byteLength)
    expect(toHex(parsed.header) + toHex(parsed.ciphertext) + toHex(parsed.tag)).toBe(toHex(envelope))
  })

  it.each(refused)('refuse: $name', ({ envelope, code }) => {
    expect(codeOf(() => parseEnvelope(envelope))).toBe(code)
    expect(codeOf(() => decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes: envelope }))).toBe(code)
  })
})

describe('an envelope', () => {
  it('gives back any plaintext under the same key and context', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...purposes),
        fc.uint8Array({ minLength: 1, maxLength: MAX_KEY_REF_BYTES }),
        fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: MAX_CONTEXT_FIELDS }),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        (purpose, keyRef, context, plaintext) => {
          const bytes = encryptEnvelope({ key, purpose, keyRef, context, plaintext, randomBytes })
          expect(toHex(parseEnvelope(bytes).keyRef)).toBe(toHex(keyRef))
          expect(toHex(decryptEnvelope({ key, purpose, context, bytes }))).toBe(toHex(plaintext))
        },
      ),
    )
  })

  it('takes a secret to be wiped for a key, as well as a key object', () => {
    const secret = new Secret(Uint8Array.from(key.export()))
    const bytes = encryptEnvelope({ ...input, key: secret })
    expect(toHex(decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes }))).toBe('050607')
    expect(toHex(decryptEnvelope({ key: secret, purpose: 'openbao-blob', context, bytes: sample }))).toBe('050607')
    secret.wipe()
    expect(() => encryptEnvelope({ ...input, key: secret })).toThrow(TypeError)
  })

  it('reads the same wherever it lies in a larger buffer', () => {
    const larger = new Uint8Array(sample.byteLength + 20)
    larger.set(sample, 13)
    const bytes = larger.subarray(13, 13 + sample.byteLength)
    expect(toHex(decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes }))).toBe('050607')
  })

  it('is refused when cut off anywhere', () => {
    for (let byteLength = 0; byteLength < sample.byteLength; byteLength += 1) {
      const bytes = sample.slice(0, byteLength)
      expect(codeOf(() => decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes }))).toBe('ENVELOPE_MALFORMED')
    }
  })

  it('is refused with any single bit flipped, by the code of the field it lies in', () => {
    const keyRefBytes = 2
    const codesOf = (offset: number): readonly string[] => {
      if (offset < 4) return ['ENVELOPE_MALFORMED'] // magic
      if (offset < 6) return ['ENVELOPE_MALFORMED', 'ENVELOPE_UNSUPPORTED'] // version, algorithm: 0 or unknown
      if (offset === 6) return ['ENVELOPE_MALFORMED', 'ENVELOPE_UNSUPPORTED', 'ENVELOPE_PURPOSE_MISMATCH'] // purpose
      if (offset === 7) return ['ENVELOPE_MALFORMED', 'ENVELOPE_TOO_LARGE'] // length of the key reference: all shifts
      if (offset < 8 + keyRefBytes + 24) return ['ENVELOPE_AUTH_FAILED'] // key reference, nonce
      if (offset < 8 + keyRefBytes + 28) return ['ENVELOPE_MALFORMED', 'ENVELOPE_TOO_LARGE'] // length of the ciphertext
      return ['ENVELOPE_AUTH_FAILED'] // ciphertext, tag
    }
    for (let bit = 0; bit < sample.byteLength * 8; bit += 1) {
      const bytes = Uint8Array.from(sample)
      const offset = Math.floor(bit / 8)
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (bit % 8))
      const code = codeOf(() => decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes }))
      expect(codesOf(offset)).toContain(code)
    }
  })

  it('does not decrypt under another key', () => {
    const other = createSecretKey(randomBytes(32))
    expect(codeOf(() => decryptEnvelope({ key: other, purpose: 'openbao-blob', context, bytes: sample }))).toBe(
      'ENVELOPE_AUTH_FAILED',
    )
  })

  it('does not decrypt for another purpose', () => {
    expect(codeOf(() => decryptEnvelope({ key, purpose: 'keyring-link', context, bytes: sample }))).toBe(
      'ENVELOPE_PURPOSE_MISMATCH',
    )
  })

  it.each([
    ['none', []],
    ['a field less', ['0102']],
    ['a field more', ['0102', '03', '']],
    ['the fields joined', ['010203']],
    ['the fields split elsewhere', ['01', '0203']],
    ['the fields in another order', ['03', '0102']],
    ['a longer field', ['010200', '03']],
  ])('does not decrypt with another context: %s', (_case, fields) => {
    const other = fields.map(fromHex)
    expect(codeOf(() => decryptEnvelope({ key, purpose: 'openbao-blob', context: other, bytes: sample }))).toBe(
      'ENVELOPE_AUTH_FAILED',
    )
  })

  it('has a fresh nonce each time', () => {
    expect(toHex(parseEnvelope(encryptEnvelope(input)).nonce)).not.toBe(toHex(parseEnvelope(sample).nonce))
  })

  it('leaves the plaintext to the caller and shares no memory with it', () => {
    const decrypted = decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes: sample })
    expect(decrypted.buffer.byteLength).toBe(decrypted.byteLength)
    decrypted.fill(0)
    expect(toHex(input.plaintext)).toBe('050607')
  })
})

describe('the bounds of an envelope', () => {
  it('hold at the largest plaintext', () => {
    const plaintext = new Uint8Array(MAX_PLAINTEXT_BYTES)
    const bytes = encryptEnvelope({ ...input, plaintext, keyRef: new Uint8Array(MAX_KEY_REF_BYTES) })
    expect(bytes.byteLength).toBe(MAX_ENVELOPE_BYTES)
    expect(decryptEnvelope({ key, purpose: 'openbao-blob', context, bytes }).byteLength).toBe(MAX_PLAINTEXT_BYTES)
  })

  it('refuse bytes that no envelope can have', () => {
    expect(codeOf(() => parseEnvelope(new Uint8Array(MAX_ENVELOPE_BYTES + 1)))).toBe('ENVELOPE_TOO_LARGE')
  })

  it.each<readonly [string, Partial<EncryptEnvelopeInput>, string]>([
    ['an empty plaintext', { plaintext: new Uint8Array() }, 'ENVELOPE_INPUT_INVALID'],
    ['a plaintext over 1 MiB', { plaintext: new Uint8Array(MAX_PLAINTEXT_BYTES + 1) }, 'ENVELOPE_TOO_LARGE'],
    ['an empty key reference', { keyRef: new Uint8Array() }, 'ENVELOPE_INPUT_INVALID'],
    ['a key reference of 65 bytes', { keyRef: new Uint8Array(MAX_KEY_REF_BYTES + 1) }, 'ENVELOPE_INPUT_INVALID'],
    ['a key of 16 bytes', { key: createSecretKey(randomBytes(16)) }, 'ENVELOPE_INPUT_INVALID'],
    ['a secret of 31 bytes as key', { key: new Secret(randomBytes(31)) }, 'ENVELOPE_INPUT_INVALID'],
    ['a public key', { key: generateKeyPairSync('ed25519').publicKey }, 'ENVELOPE_INPUT_INVALID'],
    ['a random source that gives too little', { randomBytes: () => new Uint8Array(12) }, 'ENVELOPE_INPUT_INVALID'],
    [
      'too many context fields',
      { context: Array.from({ length: MAX_CONTEXT_FIELDS + 1 }, () => new Uint8Array()) },
      'ENVELOPE_INPUT_INVALID',
    ],
    [
      'a context field that is too long',
      { context: [new Uint8Array(MAX_CONTEXT_FIELD_BYTES + 1)] },
      'ENVELOPE_INPUT_INVALID',
    ],
  ])('refuse %s', (_case, change, code) => {
    expect(codeOf(() => encryptEnvelope({ ...input, ...change }))).toBe(code)
  })

  it('refuse a wrong key also when decrypting', () => {
    const shortKey = createSecretKey(randomBytes(16))
    expect(codeOf(() => decryptEnvelope({ key: shortKey, purpose: 'openbao-blob', context, bytes: sample }))).toBe(
      'ENVELOPE_INPUT_INVALID',
    )
  })
})
