import { joinBytes } from '@sealwright/bytes'
import { TpmWireError } from './errors.ts'

/** The largest value of a 16-bit size field (Part 2, clause 10.4.1). */
const MAX_UINT16 = 0xffff
const MAX_UINT32 = 0xffff_ffff

/**
 * The big-endian bytes of a 16-bit number.
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` if it does not fit.
 */
export function u16(value: number): Uint8Array {
  return uint(value, 2, MAX_UINT16)
}

/** The big-endian bytes of a 32-bit number. @throws {@link TpmWireError} `TPM_WIRE_RANGE` if it does not fit. */
export function u32(value: number): Uint8Array {
  return uint(value, 4, MAX_UINT32)
}

/** One byte. @throws {@link TpmWireError} `TPM_WIRE_RANGE` if it does not fit. */
export function u8(value: number): Uint8Array {
  return uint(value, 1, 0xff)
}

/** As {@link joinBytes}: where a part is secret, the caller wipes what is returned. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return joinBytes(parts)
}

/**
 * A TPM2B: a 16-bit size and the bytes (Part 2, clause 10.4.1).
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` above 65535 bytes.
 */
export function sized(...parts: readonly Uint8Array[]): Uint8Array {
  return concat(u16(parts.reduce((total, part) => total + part.byteLength, 0)), ...parts)
}

function uint(value: number, width: 1 | 2 | 4, max: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new TpmWireError('TPM_WIRE_RANGE', `${value} does not fit into ${width} bytes`)
  }
  const bytes = new Uint8Array(width)
  const view = new DataView(bytes.buffer)
  if (width === 1) view.setUint8(0, value)
  else if (width === 2) view.setUint16(0, value)
  else view.setUint32(0, value)
  return bytes
}
