import { MAX_SEALED_BYTES, TPM_ALG_KEYEDHASH } from './constants.ts'
import { TpmWireError } from './errors.ts'
import { concat, sized, u16 } from './writer.ts'

/**
 * The contents of a TPM2B_SENSITIVE_CREATE: TPMS_SENSITIVE_CREATE (Part 2, clause 11.1.15): auth value and data.
 * Holds secrets: the caller wipes it.
 *
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` for more than 128 bytes of data.
 */
export function encodeSensitiveCreate(authValue: Uint8Array, data: Uint8Array): Uint8Array {
  assertSealable(data)
  const sizedAuth = sized(authValue)
  const sizedData = sized(data)
  const joined = concat(sizedAuth, sizedData)
  sizedAuth.fill(0)
  sizedData.fill(0)
  return joined
}

/** The same for a key that the TPM makes itself: no auth value, no data. */
export function encodeSensitiveCreateOfKey(): Uint8Array {
  return concat(sized(), sized())
}

/**
 * A TPMT_SENSITIVE of type TPM_ALG_KEYEDHASH (Part 2, clause 12.3.2.4). Holds secrets: the caller wipes it.
 *
 * @param seedValue - 32 random bytes which hide the data in the public `unique` (Part 1, clauses 27.5.3.2 and 27.7.4).
 */
export function encodeKeyedHashSensitive(authValue: Uint8Array, seedValue: Uint8Array, data: Uint8Array): Uint8Array {
  assertSealable(data)
  const parts = [sized(authValue), sized(seedValue), sized(data)]
  const joined = concat(u16(TPM_ALG_KEYEDHASH), ...parts)
  for (const part of parts) part.fill(0)
  return joined
}

function assertSealable(data: Uint8Array): void {
  if (data.byteLength === 0 || data.byteLength > MAX_SEALED_BYTES) {
    throw new TpmWireError('TPM_WIRE_RANGE', `a TPM seals 1 to ${MAX_SEALED_BYTES} bytes, not ${data.byteLength}`)
  }
}
