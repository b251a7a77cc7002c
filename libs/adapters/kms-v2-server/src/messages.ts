import { create, fromBinary, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf'
import {
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  KmsError,
  type StatusResponse,
} from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'
import {
  DecryptRequestSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from './generated/v2/api_pb.ts'
import { allocateFrame, FRAME_HEADER_BYTES, frameOf } from './grpc-unary/frame.ts'

/**
 * The messages of the protocol (proto/v2/api.proto) as values of `KmsV2Service`. Requests throw `KMS_REQUEST_INVALID` when they are
 * no protobuf; fields that we do not know are ignored. Responses come as gRPC frames.
 */

export function decodeStatusRequest(message: Uint8Array): void {
  decode(StatusRequestSchema, message)
}

export function encodeStatusResponse({ version, healthz, keyId }: StatusResponse): Uint8Array {
  return frameOf(toBinary(StatusResponseSchema, create(StatusResponseSchema, { version, healthz, keyId })))
}

/** Overwrites `message` with zeros, whatever it was. */
export function decodeEncryptRequest(message: Uint8Array): EncryptRequest {
  try {
    const { plaintext, uid } = decode(EncryptRequestSchema, message)
    return { plaintext: new Secret(plaintext), uid }
  } finally {
    // A field can stand in a message more than once, and the last one counts.
    message.fill(0)
  }
}

export function encodeEncryptResponse({ ciphertext, keyId, annotations }: EncryptResponse): Uint8Array {
  const response = create(EncryptResponseSchema, { ciphertext, keyId, annotations: Object.fromEntries(annotations) })
  return frameOf(toBinary(EncryptResponseSchema, response))
}

/** @returns views into `message`, not copies. */
export function decodeDecryptRequest(message: Uint8Array): DecryptRequest {
  const { ciphertext, uid, keyId, annotations } = decode(DecryptRequestSchema, message)
  return { ciphertext, uid, keyId, annotations: new Map(Object.entries(annotations)) }
}

/** `plaintext`, field 1, of wire type 2. */
const PLAINTEXT_TAG = 0x0a

/**
 * Wipes the plaintext. Not by the generated code: that would write small messages on the JavaScript heap, where the garbage
 * collector leaves copies behind.
 */
export function encodeDecryptResponse({ plaintext }: DecryptResponse): Uint8Array {
  using secret = plaintext
  const { byteLength } = secret
  if (byteLength === 0) return allocateFrame(0)
  const length = varint(byteLength)
  const frame = allocateFrame(1 + length.length + byteLength)
  frame[FRAME_HEADER_BYTES] = PLAINTEXT_TAG
  frame.set(length, FRAME_HEADER_BYTES + 1)
  secret.reveal(bytes => {
    frame.set(bytes, FRAME_HEADER_BYTES + 1 + length.length)
  })
  return frame
}

/** Seven bits a byte, the lowest first, and the highest bit for "more follow". */
function varint(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]
}

function decode<M extends DescMessage>(schema: M, message: Uint8Array): MessageShape<M> {
  try {
    return fromBinary(schema, message, { readUnknownFields: false })
  } catch (cause) {
    throw new KmsError(
      'KMS_REQUEST_INVALID',
      'the request is not what the KMS v2 protocol says: it cannot be decoded',
      {
        cause,
      },
    )
  }
}
