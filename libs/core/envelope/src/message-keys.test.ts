import { createSecretKey, randomBytes, randomFillSync } from 'node:crypto'

import { EnvelopeError } from './envelope-error.ts'
import { decryptEnvelope, encryptEnvelope } from './envelope.ts'
import { parseEnvelope } from './format.ts'
import { MessageKeys } from './message-keys.ts'

const key = createSecretKey(randomBytes(32))
const fresh = (byteLength: number): Uint8Array => randomFillSync(new Uint8Array(byteLength))
const common = { purpose: 'kms-seed', context: [Uint8Array.of(1, 2, 3)] } as const
const plaintext = new TextEncoder().encode('a seed of thirty-two bytes, or so')

const encrypt = (by: MessageKeys | typeof key, source = fresh) =>
  encryptEnvelope({ ...common, key: by, keyRef: Uint8Array.of(7), plaintext, randomBytes: source })
const nonceOf = (bytes: Uint8Array) => Buffer.from(parseEnvelope(bytes).nonce).toString('hex')

describe('message keys', () => {
  it('make envelopes that anybody with the key decrypts, and decrypt those of others', () => {
    const messages = new MessageKeys(key)
    for (const bytes of [encrypt(messages), encrypt(messages)]) {
      expect(decryptEnvelope({ ...common, key, bytes })).toEqual(plaintext)
    }
    for (const bytes of [encrypt(key), encrypt(key)]) {
      expect(Buffer.from(decryptEnvelope({ ...common, key: messages, bytes }))).toEqual(Buffer.from(plaintext))
    }
  })

  it('never use a nonce twice: the first half is common, the second fresh', () => {
    const messages = new MessageKeys(key)
    const nonces = Array.from({ length: 1_000 }, () => nonceOf(encrypt(messages)))
    expect(new Set(nonces).size).toBe(1_000)
    expect(new Set(nonces.map(nonce => nonce.slice(0, 24))).size).toBe(1)
  })

  it('of two runs have no half in common', () => {
    const [one, other] = [nonceOf(encrypt(new MessageKeys(key))), nonceOf(encrypt(new MessageKeys(key)))]
    expect(one.slice(0, 24)).not.toBe(other.slice(0, 24))
  })

  it('begin another half after 2^20 messages', () => {
    const messages = new MessageKeys(key)
    const first = messages.nextNonce(fresh).slice(0, 12)
    for (let count = 1; count < 2 ** 20; count += 1) messages.nextNonce(length => new Uint8Array(length))
    expect(messages.nextNonce(fresh).slice(0, 12)).not.toEqual(first)
  })

  it('decrypt messages of more halves than they keep', () => {
    const messages = new MessageKeys(key)
    const envelopes = Array.from({ length: 200 }, () => encrypt(key))
    for (const bytes of [...envelopes, ...envelopes.toReversed()]) {
      expect(decryptEnvelope({ ...common, key: messages, bytes })).toHaveLength(plaintext.byteLength)
    }
  })

  it('refuse every changed bit', () => {
    const messages = new MessageKeys(key)
    const bytes = encrypt(messages)
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const changed = bytes.slice()
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => decryptEnvelope({ ...common, key: messages, bytes: changed })).toThrow(EnvelopeError)
    }
  })

  it('refuse another context, and a key of another length', () => {
    const messages = new MessageKeys(key)
    const bytes = encrypt(messages)
    expect(() => decryptEnvelope({ ...common, context: [], key: messages, bytes })).toThrow(
      expect.objectContaining({ code: 'ENVELOPE_AUTH_FAILED' }) as Error,
    )
    expect(() => new MessageKeys(createSecretKey(randomBytes(16)))).toThrow(
      expect.objectContaining({ code: 'ENVELOPE_INPUT_INVALID' }) as Error,
    )
  })

  it('refuse a source that gives too little', () => {
    expect(() => encrypt(new MessageKeys(key), () => new Uint8Array(3))).toThrow(
      expect.objectContaining({ code: 'ENVELOPE_INPUT_INVALID' }) as Error,
    )
  })
})
