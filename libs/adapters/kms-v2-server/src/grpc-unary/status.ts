/**
 * The statuses of gRPC that we answer with, and their numbers.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
 */
export const GRPC_STATUS = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

export type GrpcStatusName = keyof typeof GRPC_STATUS

/** What a call that did not go well is answered with. */
export interface Refusal {
  readonly status: Exclude<GrpcStatusName, 'OK'>
  /** For the caller and its log. */
  readonly message: string
}

/** Longest text that we send, in bytes before they are encoded: it travels as a header. */
const MAX_MESSAGE_BYTES = 1024

/**
 * Spells a text as gRPC's `grpc-message` wants it: bytes of UTF-8, and all but printable ASCII, and the percent sign, as `%XX`.
 * What is over 1,024 bytes is cut off.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Percent-Byte-Encoded"
 */
export function percentEncode(text: string): string {
  const bytes = Buffer.from(text).subarray(0, MAX_MESSAGE_BYTES)
  let encoded = ''
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}
