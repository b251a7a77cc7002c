import { createHash } from 'node:crypto'

/** What a sample keyring begins with. */
const MAGIC = Buffer.from('SAMPLE01')

/** magic (8) ‖ sequence number (4, big-endian). */
const HEADER_BYTES = 12

/** SHA-256 of all before it. */
const CHECKSUM_BYTES = 32

/**
 * Bytes that stand for a keyring in tests and tell by themselves whether they are whole.
 *
 * @param sequence - told again by {@link sampleSequence}.
 * @param fillerBytes - bytes between header and checksum, different for each sequence number.
 */
export function sampleKeyring(sequence: number, fillerBytes = 100): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + fillerBytes + CHECKSUM_BYTES)
  bytes.set(MAGIC)
  new DataView(bytes.buffer).setUint32(MAGIC.byteLength, sequence)
  bytes.fill(sequence & 0xff, HEADER_BYTES, HEADER_BYTES + fillerBytes)
  bytes.set(checksum(bytes), HEADER_BYTES + fillerBytes)
  return bytes
}

/** Throws unless the bytes are one whole sample keyring. */
export function verifySample(bytes: Uint8Array): void {
  if (bytes.byteLength < HEADER_BYTES + CHECKSUM_BYTES) throw new Error('too short for a sample keyring')
  if (Buffer.compare(checksum(bytes), bytes.subarray(bytes.byteLength - CHECKSUM_BYTES)) !== 0) {
    throw new Error('the checksum of the sample keyring is wrong')
  }
}

/** The sequence number in a whole sample keyring. */
export function sampleSequence(bytes: Uint8Array): number {
  verifySample(bytes)
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.byteLength)
}

function checksum(bytes: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(bytes.subarray(0, bytes.byteLength - CHECKSUM_BYTES))
    .digest()
}
