import { P256_COORDINATE_BYTES, TPM_ALG_ECDSA, TPM_ALG_NULL, TPM_ALG_SHA256 } from './constants.ts'
import { TpmWireError } from './errors.ts'
import { type TpmReader } from './reader.ts'
import { concat, sized, u16 } from './writer.ts'

/** Length of an ECDSA P-256 signature as r ‖ s (IEEE P1363), in bytes. */
export const ECDSA_P256_SIGNATURE_BYTES = 2 * P256_COORDINATE_BYTES

/** What a TPMT_SIGNATURE of no signature is: TPM_ALG_NULL (Part 2, clause 11.3.4). */
export const NULL_SIGNATURE = u16(TPM_ALG_NULL)

/**
 * A TPMT_SIGNATURE of ECDSA P-256 with SHA-256 (Part 2, clauses 11.3.4 and 11.3.2).
 *
 * @param signature - r ‖ s, 64 bytes (`dsaEncoding: 'ieee-p1363'` in Node).
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` for another length.
 */
export function encodeEcdsaSignature(signature: Uint8Array): Uint8Array {
  if (signature.byteLength !== ECDSA_P256_SIGNATURE_BYTES) {
    throw new TpmWireError('TPM_WIRE_RANGE', `a signature of ${signature.byteLength} bytes, not r and s of 32 each`)
  }
  const r = signature.subarray(0, P256_COORDINATE_BYTES)
  const s = signature.subarray(P256_COORDINATE_BYTES)
  return concat(u16(TPM_ALG_ECDSA), u16(TPM_ALG_SHA256), sized(r), sized(s))
}

/** Reads past a {@link NULL_SIGNATURE}. @throws {@link TpmWireError} `TPM_WIRE_UNKNOWN` if it is anything else. */
export function readNullSignature(reader: TpmReader): void {
  const algorithm = reader.u16()
  if (algorithm !== TPM_ALG_NULL) {
    throw new TpmWireError('TPM_WIRE_UNKNOWN', `signature algorithm 0x${algorithm.toString(16)}`)
  }
}
