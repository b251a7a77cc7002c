import { allocateKeyBytes } from '@sealwright/secret'
import { type Refusal } from './status.ts'

/** Before each message: a flag (1) and the message's length (4, big endian). */
export const FRAME_HEADER_BYTES = 5
/** A buffer for a message that comes in parts begins so, and grows with what has come: a length alone takes no memory. */
const FIRST_CAPACITY_BYTES = 512

/** Memory for a message of `messageBytes` bytes with its frame header written; it stays in one place. */
export function allocateFrame(messageBytes: number): Uint8Array {
  const frame = allocateKeyBytes(FRAME_HEADER_BYTES + messageBytes)
  writeHeader(frame, messageBytes)
  return frame
}

/** A frame with a copy of `message`. */
export function frameOf(message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + message.byteLength)
  writeHeader(frame, message.byteLength)
  frame.set(message, FRAME_HEADER_BYTES)
  return frame
}

function writeHeader(frame: Uint8Array, messageBytes: number): void {
  frame[0] = 0
  frame[1] = messageBytes >>> 24
  frame[2] = messageBytes >>> 16
  frame[3] = messageBytes >>> 8
  frame[4] = messageBytes
}

/**
 * Reads the one message of a unary request from what comes of its body, in whatever parts.
 *
 * Overwrites every part with zeros, or hands it out as the message: no byte of a request stays anywhere else.
 */
export class RequestReader {
  readonly #maxMessageBytes: number
  /** Of a frame header that came in parts. */
  #header: Uint8Array | undefined
  #headerBytes = 0
  /** Of the message; undefined until its header is there. */
  #messageBytes: number | undefined
  #message: Uint8Array | undefined
  /** Whether the message lies in memory that it shares with all else that was read with it. */
  #isView = false
  #filledBytes = 0
  #refusal: Refusal | undefined

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** Memory that is taken for the message. */
  get heldBytes(): number {
    return this.#message?.byteLength ?? 0
  }

  /**
   * Takes the next part of the body, and owns it from then on.
   *
   * @returns why the request is refused, if it is; what comes after that is only overwritten.
   */
  push(part: Uint8Array): Refusal | undefined {
    if (this.#refusal === undefined && this.#takeWhole(part)) return undefined
    const refusal = this.#refusal ?? this.#take(part)
    part.fill(0)
    if (refusal !== undefined) this.#refuse(refusal)
    return refusal
  }

  /**
   * The body has come to its end.
   *
   * @returns the message, the caller's to overwrite, or why there is none.
   */
  end(): Uint8Array | Refusal {
    if (this.#refusal !== undefined) return this.#refusal
    if (this.#messageBytes === undefined) {
      return this.#headerBytes === 0 ? NO_MESSAGE : this.#refuse(CUT_OFF)
    }
    if (this.#message === undefined || this.#filledBytes < this.#messageBytes) return this.#refuse(CUT_OFF)
    const message = this.#message.subarray(0, this.#messageBytes)
    this.#message = undefined
    return message
  }

  /** Keeps what has come in memory of its own: a view of a few bytes would keep alive all that was read with them. */
  own(): void {
    if (!this.#isView || this.#message === undefined) return
    const copy = allocateKeyBytes(this.#message.byteLength)
    copy.set(this.#message)
    this.#message.fill(0)
    this.#message = copy
    this.#isView = false
  }

  /** Overwrites what has come. */
  wipe(): void {
    this.#message?.fill(0)
    this.#message = undefined
  }

  /** The usual case: the first part is the whole frame. */
  #takeWhole(part: Uint8Array): boolean {
    if (this.#messageBytes !== undefined || this.#headerBytes > 0 || part.byteLength < FRAME_HEADER_BYTES) return false
    const messageBytes = part.byteLength - FRAME_HEADER_BYTES
    if (part[0] !== 0 || lengthIn(part) !== messageBytes || messageBytes > this.#maxMessageBytes) return false
    this.#messageBytes = messageBytes
    this.#filledBytes = messageBytes
    this.#message = part.subarray(FRAME_HEADER_BYTES)
    this.#isView = true
    return true
  }

  #take(part: Uint8Array): Refusal | undefined {
    if (part.byteLength === 0) return undefined
    if (this.#messageBytes !== undefined) return this.#fill(this.#messageBytes, part)
    this.#header ??= new Uint8Array(FRAME_HEADER_BYTES)
    const missing = FRAME_HEADER_BYTES - this.#headerBytes
    this.#header.set(part.subarray(0, missing), this.#headerBytes)
    this.#headerBytes += Math.min(missing, part.byteLength)
    if (this.#headerBytes < FRAME_HEADER_BYTES) return undefined
    return this.#begin(this.#header) ?? this.#take(part.subarray(missing))
  }

  #begin(header: Uint8Array): Refusal | undefined {
    if (header[0] === 1) return COMPRESSED
    if (header[0] !== 0) return UNKNOWN_FLAG
    const messageBytes = lengthIn(header)
    if (messageBytes > this.#maxMessageBytes) return tooLong(messageBytes, this.#maxMessageBytes)
    this.#messageBytes = messageBytes
    this.#message = allocateKeyBytes(Math.min(messageBytes, FIRST_CAPACITY_BYTES))
    return undefined
  }

  #fill(messageBytes: number, part: Uint8Array): Refusal | undefined {
    const needed = this.#filledBytes + part.byteLength
    if (needed > messageBytes) return SECOND_MESSAGE
    let message = this.#message ?? allocateKeyBytes(0)
    if (needed > message.byteLength) {
      const grown = allocateKeyBytes(Math.min(messageBytes, Math.max(needed, 2 * message.byteLength)))
      grown.set(message.subarray(0, this.#filledBytes))
      message.fill(0)
      message = grown
    }
    message.set(part, this.#filledBytes)
    this.#message = message
    this.#filledBytes = needed
    return undefined
  }

  #refuse(refusal: Refusal): Refusal {
    this.wipe()
    this.#refusal = refusal
    return refusal
  }
}

/** The length in a frame header. */
function lengthIn(header: Uint8Array): number {
  return (header[1] ?? 0) * 0x1000000 + (((header[2] ?? 0) << 16) | ((header[3] ?? 0) << 8) | (header[4] ?? 0))
}

const NO_MESSAGE: Refusal = { status: 'UNIMPLEMENTED', message: 'the request has no message' }
const SECOND_MESSAGE: Refusal = { status: 'UNIMPLEMENTED', message: 'the request goes on after its message' }
const COMPRESSED: Refusal = { status: 'UNIMPLEMENTED', message: 'compressed messages are not taken' }
const UNKNOWN_FLAG: Refusal = { status: 'INVALID_ARGUMENT', message: 'the message has an unknown flag' }
const CUT_OFF: Refusal = { status: 'INVALID_ARGUMENT', message: 'the message is cut off' }

function tooLong(messageBytes: number, maxMessageBytes: number): Refusal {
  return {
    status: 'RESOURCE_EXHAUSTED',
    message: `a message of ${messageBytes} bytes is longer than the ${maxMessageBytes} that are taken`,
  }
}
