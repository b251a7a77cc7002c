import { allocateKeyBytes } from '@sealwright/secret'
import { type ChannelCipher, TAG_BYTES } from './channel-cipher.ts'
import { FieldError, join, type Part, readFields, u32, u8 } from '../fields.ts'

/** Longest frame without its length field, in bytes: a page of key facts has half of that. */
export const MAX_FRAME_BYTES = 131_072

const LENGTH_BYTES = 4
/** Request id (4) ‖ kind (1). */
const HEADER_BYTES = 5

/** One request or answer. `body` is the receiver's to wipe. */
export type Frame = {
  /** Chosen by who asks; the answer has the same. */
  readonly id: number
  /** Of a request, which one; of an answer, whether it is one or a failure. */
  readonly kind: number
  readonly body: Uint8Array
}

/** Length (4) ‖ encrypted: request id (4) ‖ kind (1) ‖ body. Throws {@link FieldError} for what is too long. */
export function encodeFrame(cipher: ChannelCipher, id: number, kind: number, body: Part): Uint8Array {
  const content = join([u32(id), u8(kind), body])
  try {
    const length = content.byteLength + TAG_BYTES
    if (length > MAX_FRAME_BYTES) throw new FieldError(`a frame of ${length} bytes is too long`)
    return join([u32(length), cipher.seal(content)])
  } finally {
    content.fill(0)
  }
}

/**
 * Puts frames together from what comes out of a stream.
 *
 * @param onFrame - takes over the frame's body.
 * @returns to be called with each chunk. Throws {@link FieldError} for what cannot be: nothing after it makes sense.
 */
export function frameSplitter(cipher: ChannelCipher, onFrame: (frame: Frame) => void): (chunk: Uint8Array) => void {
  const held = allocateKeyBytes(LENGTH_BYTES + MAX_FRAME_BYTES)
  let heldBytes = 0
  const take = (): boolean => {
    if (heldBytes < LENGTH_BYTES) return false
    const length = readFields(held.subarray(0, LENGTH_BYTES)).u32()
    if (length < HEADER_BYTES + TAG_BYTES || length > MAX_FRAME_BYTES) {
      throw new FieldError(`no frame has ${length} bytes`)
    }
    const end = LENGTH_BYTES + length
    if (heldBytes < end) return false
    const content = cipher.open(held.subarray(LENGTH_BYTES, end))
    held.copyWithin(0, end, heldBytes)
    heldBytes -= end
    const reader = readFields(content)
    onFrame({ id: reader.u32(), kind: reader.u8(), body: content.subarray(HEADER_BYTES) })
    return true
  }
  return chunk => {
    for (let offset = 0; offset < chunk.byteLength;) {
      const piece = chunk.subarray(offset, offset + held.byteLength - heldBytes)
      held.set(piece, heldBytes)
      heldBytes += piece.byteLength
      offset += piece.byteLength
      while (take());
    }
  }
}
