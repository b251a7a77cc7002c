import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { allocateKeyBytes, Secret } from '@sealwright/secret'
import fc from 'fast-check'
import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusResponseSchema,
} from './generated/v2/api_pb.ts'
import { FRAME_HEADER_BYTES } from './grpc-unary/frame.ts'
import {
  decodeDecryptRequest,
  decodeEncryptRequest,
  decodeStatusRequest,
  encodeDecryptResponse,
  encodeEncryptResponse,
  encodeStatusResponse,
} from './messages.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const bytes = fc.uint8Array({ maxLength: 200 })
const annotations = fc
  .array(fc.tuple(fc.oneof(text, fc.constant('__proto__')), bytes), { maxLength: 5 })
  .map(entries => new Map(entries))

function plain(value: Uint8Array): number[] {
  return [...value]
}

function plainMap(map: ReadonlyMap<string, Uint8Array>): Record<string, number[]> {
  return Object.fromEntries([...map].map(([key, value]) => [key, plain(value)]))
}

function secretOf(value: Uint8Array): Secret {
  return new Secret(Uint8Array.from(value))
}

function messageIn(frame: Uint8Array): Uint8Array {
  return frame.subarray(FRAME_HEADER_BYTES)
}

describe('the messages of the protocol', () => {
  it('say of an Encrypt what the generated code says', () => {
    fc.assert(
      fc.property(bytes, text, (plaintext, uid) => {
        const request = decodeEncryptRequest(
          toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { plaintext, uid })),
        )
        expect(request.uid).toBe(uid)
        expect(request.plaintext.reveal(plain)).toEqual(plain(plaintext))
      }),
    )
  })

  it('say of a Decrypt what the generated code says', () => {
    fc.assert(
      fc.property(bytes, text, text, annotations, (ciphertext, uid, keyId, given) => {
        const fields = { ciphertext, uid, keyId, annotations: Object.fromEntries(given) }
        const request = decodeDecryptRequest(toBinary(DecryptRequestSchema, create(DecryptRequestSchema, fields)))
        expect([plain(request.ciphertext), request.uid, request.keyId]).toEqual([plain(ciphertext), uid, keyId])
        expect(plainMap(request.annotations)).toEqual(plainMap(given))
      }),
    )
  })

  it('are read back by the generated code', () => {
    fc.assert(
      fc.property(bytes, text, annotations, (ciphertext, keyId, given) => {
        const status = fromBinary(
          StatusResponseSchema,
          messageIn(encodeStatusResponse({ version: 'v2', healthz: 'ok', keyId })),
        )
        expect(status).toMatchObject({ version: 'v2', healthz: 'ok', keyId })
        const frame = encodeEncryptResponse({ ciphertext, keyId, annotations: given })
        const response = fromBinary(EncryptResponseSchema, messageIn(frame))
        expect([plain(response.ciphertext), response.keyId]).toEqual([plain(ciphertext), keyId])
        expect(plainMap(new Map(Object.entries(response.annotations)))).toEqual(plainMap(given))
      }),
    )
  })

  it.each([0, 1, 32, 127, 128, 255, 256, 16_383, 16_384, 40_000])(
    'write a plaintext of %d bytes as the generated code does',
    byteLength => {
      const plaintext = Uint8Array.from({ length: byteLength }, (_, index) => index + 1)
      const expected = toBinary(DecryptResponseSchema, create(DecryptResponseSchema, { plaintext }))
      expect(plain(messageIn(encodeDecryptResponse({ plaintext: secretOf(plaintext) })))).toEqual(plain(expected))
    },
  )

  it('take fields that we do not know, and none at all', () => {
    // Field 1000, a varint.
    const unknown = Uint8Array.of(0xc0, 0x3e, 1)
    expect(decodeDecryptRequest(unknown)).toMatchObject({ uid: '', keyId: '' })
    expect(decodeEncryptRequest(new Uint8Array()).plaintext.byteLength).toBe(0)
    expect(() => {
      decodeStatusRequest(unknown)
    }).not.toThrow()
  })

  it.each([
    ['a field that is cut off', Uint8Array.of(0x0a, 5, 1)],
    ['a field number of 0', Uint8Array.of(0x02, 1, 1)],
    ['a number that does not end', new Uint8Array(12).fill(0xff)],
    ['a group without an end', Uint8Array.of(0x0b)],
    ['text that is no UTF-8', Uint8Array.of(0x12, 2, 0xc3, 0x28)],
  ])('are refused with %s', (_what, message) => {
    for (const decode of [decodeEncryptRequest, decodeDecryptRequest]) {
      expect(() => decode(Uint8Array.from(message))).toThrow(
        expect.objectContaining({ code: 'KMS_REQUEST_INVALID' }) as Error,
      )
    }
  })

  it('are refused or read, whatever the bytes', () => {
    fc.assert(
      fc.property(bytes, message => {
        for (const decode of [decodeStatusRequest, decodeEncryptRequest, decodeDecryptRequest]) {
          try {
            decode(Uint8Array.from(message))
          } catch (error) {
            expect(error).toMatchObject({ code: 'KMS_REQUEST_INVALID' })
          }
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a plaintext', () => {
  it('is overwritten in the request, where a field stands twice too, and where it cannot be decoded', () => {
    const encode = (plaintext: Uint8Array) =>
      toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { plaintext }))
    const twice = Buffer.concat([encode(Uint8Array.of(1, 2, 3)), encode(Uint8Array.of(4, 5, 6))])
    expect(decodeEncryptRequest(twice).plaintext.reveal(plain)).toEqual([4, 5, 6])
    expect(plain(twice)).toEqual(plain(new Uint8Array(twice.length)))

    const broken = Buffer.concat([encode(Uint8Array.of(1, 2, 3)), Uint8Array.of(0x0a)])
    expect(() => decodeEncryptRequest(broken)).toThrow()
    expect(plain(broken)).toEqual(plain(new Uint8Array(broken.length)))
  })

  it('is wiped once it stands in the response', () => {
    const plaintext = new Secret(allocateKeyBytes(32).fill(7))
    encodeDecryptResponse({ plaintext })
    expect(() => plaintext.reveal(plain)).toThrow('wiped')
  })
})
