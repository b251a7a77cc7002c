import { SHA256_BYTES, TPM_ALG_SHA256 } from './constants.ts'
import { TpmWireError } from './errors.ts'
import { sha256 } from './kdf.ts'
import { type TpmReader } from './reader.ts'
import { concat, u16, u32, u8 } from './writer.ts'

/** PCRs of a PC client TPM: 0…23 (TCG PC Client Platform TPM Profile, "PCR Attributes"). */
export const PCR_COUNT = 24
/** Bytes of the bit map for {@link PCR_COUNT} PCRs: sizeofSelect (Part 2, clause 10.6.2). */
const SELECT_BYTES = 3

/** One PCR of the SHA-256 bank and its 32-byte value. */
export type PcrValue = { readonly index: number; readonly value: Uint8Array }

/**
 * Checks a list of PCR numbers.
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` unless it is strictly ascending within 0…23 and not empty.
 */
export function assertPcrIndices(indices: readonly number[]): void {
  if (indices.length === 0) throw new TpmWireError('TPM_WIRE_RANGE', 'an empty PCR selection')
  let previous = -1
  for (const index of indices) {
    if (!Number.isInteger(index) || index <= previous || index >= PCR_COUNT) {
      throw new TpmWireError(
        'TPM_WIRE_RANGE',
        `PCR numbers must ascend within 0 to ${PCR_COUNT - 1}, not ${indices.join(', ')}`,
      )
    }
    previous = index
  }
}

/**
 * A TPML_PCR_SELECTION of one SHA-256 bank (Part 2, clauses 10.9.7 and 10.6.2).
 *
 * @throws {@link TpmWireError} as {@link assertPcrIndices}.
 */
export function encodePcrSelection(indices: readonly number[]): Uint8Array {
  assertPcrIndices(indices)
  const map = new Uint8Array(SELECT_BYTES)
  for (const index of indices) {
    const byte = index >> 3
    map[byte] = (map[byte] ?? 0) | (1 << (index & 7))
  }
  return concat(u32(1), u16(TPM_ALG_SHA256), u8(SELECT_BYTES), map)
}

/**
 * Reads a TPML_PCR_SELECTION of exactly one SHA-256 bank.
 *
 * @returns Ascending PCR numbers; none if the bit map is empty, as TPM2_PCR_Read answers once nothing is left.
 */
export function readPcrSelection(reader: TpmReader): readonly number[] {
  const count = reader.u32()
  if (count !== 1) throw new TpmWireError('TPM_WIRE_RANGE', `${count} PCR banks, not 1`)
  const bank = reader.u16()
  if (bank !== TPM_ALG_SHA256) throw new TpmWireError('TPM_WIRE_UNKNOWN', `PCR bank 0x${bank.toString(16)}`)
  const selectBytes = reader.u8()
  if (selectBytes !== SELECT_BYTES) throw new TpmWireError('TPM_WIRE_RANGE', `a PCR bit map of ${selectBytes} bytes`)
  const map = reader.bytes(SELECT_BYTES)
  return Array.from({ length: PCR_COUNT }, (_, index) => index).filter(
    index => ((map[index >> 3] ?? 0) & (1 << (index & 7))) !== 0,
  )
}

/**
 * The digest TPM2_PolicyPCR works with: SHA-256 over the selected values in ascending order (Part 3, clause 23.7).
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` unless the PCRs ascend and every value has 32 bytes.
 */
export function pcrDigest(values: readonly PcrValue[]): Uint8Array {
  assertPcrIndices(values.map(({ index }) => index))
  for (const { index, value } of values) {
    if (value.byteLength !== SHA256_BYTES) {
      throw new TpmWireError('TPM_WIRE_RANGE', `the value of PCR ${index} has ${value.byteLength} bytes`)
    }
  }
  return sha256(...values.map(({ value }) => value))
}
