import { toHex } from '@sealwright/testing-vectors'
import fc from 'fast-check'
import { CHANNEL_KEY_BYTES, channelCipher, newChannelKey } from './channel-cipher.ts'
import { type KeyFacts, type TokenFacts } from './facts.ts'
import { decodeFailure, encodeFailure, type Failure } from './failure.ts'
import { FieldError, join, type Part, readFields, sized, text, u16, u32, u8 } from '../fields.ts'
import { encodeFrame, type Frame, frameSplitter, MAX_FRAME_BYTES } from './frame.ts'
import { type Answers, decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, type Requests } from './requests.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const handle = fc.uint8Array({ minLength: 8, maxLength: 8 })
const maybe = fc.constantFrom(true, false, undefined)

/** Both ends of a channel, and what comes out of the second one. */
function channel() {
  const key = newChannelKey()
  const parent = channelCipher(key, 'parent')
  const received: Frame[] = []
  const split = frameSplitter(channelCipher(key, 'child'), frame => {
    received.push(frame)
  })
  return { parent, split, received }
}

const anyFrame = fc.record({ id: fc.nat(0xffff_ffff), kind: fc.nat(255), body: bytes(300) })

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.integer({ min: 1, max: 200 }), (frames, cutBytes) => {
        const { parent, split, received } = channel()
        const stream = join(frames.map(({ id, kind, body }) => encodeFrame(parent, id, kind, body)))
        for (let offset = 0; offset < stream.byteLength; offset += cutBytes) {
          split(stream.subarray(offset, offset + cutBytes))
        }
        const spelled = (all: readonly Frame[]) => all.map(({ id, kind, body }) => [id, kind, toHex(body)])
        expect(spelled(received)).toEqual(spelled(frames))
      }),
    )
  })

  it('of any length that cannot be end the channel', () => {
    for (const length of [0, 20, MAX_FRAME_BYTES + 1, 0xffff_ffff]) {
      expect(() => {
        channel().split(join([u32(length), new Uint8Array(30)]))
      }).toThrow(FieldError)
    }
  })

  it('are not written when nobody would read them', () => {
    const { parent, split, received } = channel()
    expect(() => encodeFrame(parent, 1, 1, new Uint8Array(MAX_FRAME_BYTES))).toThrow(FieldError)
    // The count goes on as if nothing had been.
    split(encodeFrame(parent, 1, 1, new Uint8Array(MAX_FRAME_BYTES - 21)))
    expect(received).toHaveLength(1)
  })

  it('show nothing of what is in them, and no flipped bit, repetition or other order is taken', () => {
    const content = new Uint8Array(32).fill(0x5a)
    const { parent, split } = channel()
    const first = encodeFrame(parent, 1, 1, content)
    expect(toHex(first)).not.toContain(toHex(content))
    for (let bit = 32; bit < first.byteLength * 8; bit += 1) {
      const changed = Uint8Array.from(first)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))
      expect(() => {
        channel().split(changed)
      }).toThrow(FieldError)
    }
    split(Uint8Array.from(first))
    expect(() => {
      split(Uint8Array.from(first))
    }).toThrow(FieldError)
    const other = channel()
    encodeFrame(other.parent, 1, 1, content)
    expect(() => {
      other.split(encodeFrame(other.parent, 2, 1, content))
    }).toThrow(FieldError)
  })

  it('of one side are none of the other', () => {
    const key = newChannelKey()
    expect(key).toHaveLength(CHANNEL_KEY_BYTES)
    const parent = channelCipher(key, 'parent')
    expect(() => channelCipher(key, 'parent').open(parent.seal(Uint8Array.of(1)))).toThrow(FieldError)
  })
})

const tokens: fc.Arbitrary<readonly TokenFacts[]> = fc.array(
  fc.record({
    slot: handle,
    label: fc.string({ unit: 'grapheme', maxLength: 20 }),
    manufacturer: fc.string(),
    model: fc.string(),
    serialNumber: fc.string(),
    flags: fc.nat(0xffff_ffff),
    hasAesGcm: fc.boolean(),
    hasRsaOaep: fc.boolean(),
  }),
  { maxLength: 5 },
)

const keys: fc.Arbitrary<readonly KeyFacts[]> = fc.array(
  fc.record({
    handle,
    kind: fc.constantFrom('aes' as const, 'rsa' as const, 'other' as const),
    id: bytes(40),
    label: fc.string({ unit: 'grapheme', maxLength: 20 }),
    bits: fc.nat(20_000),
    modulus: bytes(300),
    publicExponent: bytes(4),
    isSensitive: maybe,
    isExtractable: maybe,
    wasAlwaysSensitive: maybe,
    wasNeverExtractable: maybe,
    isLocal: maybe,
  }),
  { maxLength: 5 },
)

const mechanism = fc.oneof(
  fc.record({ kind: fc.constant('aes-gcm' as const), iv: bytes(16), aad: bytes(64) }),
  fc.record({
    kind: fc.constant('rsa-oaep' as const),
    hash: fc.constantFrom('sha1' as const, 'sha256' as const, 'sha384' as const, 'sha512' as const),
  }),
)

const query = fc.oneof(
  fc.record({ kind: fc.constant('id' as const), id: bytes(40) }),
  fc.record({ kind: fc.constant('label' as const), label: fc.string() }),
  fc.constant({ kind: 'all' as const }),
)

describe('requests', () => {
  const requests: { readonly [O in keyof Requests]: fc.Arbitrary<Requests[O]> } = {
    load: fc.record({ modulePath: fc.string() }),
    listTokens: fc.constant({}),
    openSessions: fc.record({ slot: handle, count: fc.integer({ min: 1, max: 64 }) }),
    logIn: fc.record({ slot: handle, pin: bytes(64) }),
    findKeys: fc.record({ slot: handle, query }),
    encrypt: fc.record({ slot: handle, handle, mechanism, data: bytes(64) }),
    decrypt: fc.record({ slot: handle, handle, mechanism, data: bytes(600) }),
    generateAesKey: fc.record({ slot: handle, id: bytes(40), label: fc.string() }),
    generateRsaKeyPair: fc.record({
      slot: handle,
      id: bytes(40),
      label: fc.string(),
      modulusBits: fc.constantFrom(2048, 16_384),
    }),
    initToken: fc.record({ slot: handle, label: fc.string(), soPin: bytes(64), pin: bytes(64) }),
  }

  it.each(Object.keys(requests) as (keyof Requests)[])(
    'to %s are read as they were written, and not otherwise',
    operation => {
      fc.assert(
        fc.property(requests[operation] as fc.Arbitrary<Requests[typeof operation]>, request => {
          const body = join(encodeRequest(operation, request))
          expect(toHex(join(encodeRequest(operation, decodeRequest(operation, body))))).toBe(toHex(body))
          expect(() => decodeRequest(operation, Uint8Array.of(...body, 0))).toThrow(FieldError)
          if (body.byteLength > 0) expect(() => decodeRequest(operation, body.subarray(0, -1))).toThrow(FieldError)
        }),
        { numRuns: 50 },
      )
    },
  )
})

describe('answers', () => {
  const answers: { readonly [O in keyof Answers]: fc.Arbitrary<Answers[O]> } = {
    load: fc.record({ manufacturer: fc.string(), description: fc.string(), version: fc.string() }),
    listTokens: tokens,
    openSessions: fc.constant(undefined),
    logIn: fc.constant(undefined),
    findKeys: keys,
    encrypt: fc.record({ iv: bytes(16), ciphertext: bytes(600) }),
    decrypt: bytes(600),
    generateAesKey: fc.constant(undefined),
    generateRsaKeyPair: fc.constant(undefined),
    initToken: fc.constant(undefined),
  }

  it.each(Object.keys(answers) as (keyof Answers)[])(
    'to %s are read as they were written, and not otherwise',
    operation => {
      fc.assert(
        fc.property(answers[operation] as fc.Arbitrary<Answers[typeof operation]>, answer => {
          const body = join(encodeAnswer(operation, answer))
          expect(toHex(join(encodeAnswer(operation, decodeAnswer(operation, body))))).toBe(toHex(body))
          expect(() => decodeAnswer(operation, Uint8Array.of(...body, 0))).toThrow(FieldError)
          if (body.byteLength > 0) expect(() => decodeAnswer(operation, body.subarray(0, -1))).toThrow(FieldError)
        }),
        { numRuns: 50 },
      )
    },
  )

  it('that are failures are read as they were written, without what would disturb a log', () => {
    const failures: readonly Failure[] = [
      { kind: 'ckr', ckr: 0x8000_0001, name: 'CKR_VENDOR_DEFINED', functionName: 'C_Login' },
      { kind: 'not-loaded', reason: 'no such file' },
      { kind: 'not-ready', reason: 'no HSM' },
      { kind: 'other', reason: 'why' },
    ]
    for (const failure of failures) expect(decodeFailure(join(encodeFailure(failure)))).toEqual(failure)
    const long = decodeFailure(join(encodeFailure({ kind: 'other', reason: `a\n\u001b[31m${'x'.repeat(1000)}` })))
    expect(long).toMatchObject({ reason: expect.stringMatching(/^a \[31mx{294}$/) as string })
  })
})

describe('fields', () => {
  it('refuse a text that is not in UTF-8, and one that does not fit', () => {
    expect(() => readFields(join(sized(Uint8Array.of(0xff)))).text()).toThrow(FieldError)
    expect(() => text('x'.repeat(0x1_0000))).toThrow(FieldError)
  })

  it('are big-endian', () => {
    const part: Part = [u8(1), u16(0x0203), u32(0x8405_0607)]
    expect(toHex(join(part))).toBe('01020384050607')
    const reader = readFields(join(part))
    expect([reader.u8(), reader.u16(), reader.u32()]).toEqual([1, 0x0203, 0x8405_0607])
    reader.end()
  })
})
