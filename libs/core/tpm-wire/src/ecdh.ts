import { createECDH } from 'node:crypto'

import { P256_COORDINATE_BYTES } from './constants.ts'
import { TpmWireError } from './errors.ts'
import { kdfE } from './kdf.ts'
import { type EccPoint, encodeEccPoint } from './public-area.ts'
import { concat } from './writer.ts'

/** Makes `count` random bytes. Comes in as a parameter, so that vectors can be reproduced. */
export type RandomBytes = (count: number) => Uint8Array

/** A secret shared with the holder of a P-256 key, and what to send so that it gets there. */
export type SharedSecret = {
  /** 32 bytes. The caller wipes them. */
  readonly secret: Uint8Array
  /** TPMS_ECC_POINT of the ephemeral key: the contents of a TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array
}

/** How often an ephemeral key may be drawn: a draw fails once in 2^32 with honest randomness. */
const MAX_DRAWS = 8

/**
 * One-pass ECDH to a storage key (Part 1, clause C.6.1): secret = KDFe(z, label, Q_e.x, Q_s.x).
 *
 * @param label - `SECRET` for a session salt (Part 1, clause C.6.2), `DUPLICATE` for an import seed (Part 1, clause C.6.3).
 * @throws {@link TpmWireError} `TPM_WIRE_RANGE` if `recipient` is not on the curve or `randomBytes` yields no key.
 */
export function shareSecret(
  recipient: EccPoint,
  label: 'SECRET' | 'DUPLICATE',
  randomBytes: RandomBytes,
): SharedSecret {
  const ecdh = createECDH('prime256v1')
  drawPrivateKey(ecdh, randomBytes)
  const own = new Uint8Array(ecdh.getPublicKey())
  const ephemeral = { x: own.slice(1, 1 + P256_COORDINATE_BYTES), y: own.slice(1 + P256_COORDINATE_BYTES) }
  const z = computeZ(ecdh, recipient)
  const secret = kdfE(z, label, ephemeral.x, recipient.x, 256)
  z.fill(0)
  return { secret, encryptedSecret: encodeEccPoint(ephemeral) }
}

function drawPrivateKey(ecdh: ReturnType<typeof createECDH>, randomBytes: RandomBytes): void {
  let cause: unknown
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const candidate = randomBytes(P256_COORDINATE_BYTES)
    try {
      ecdh.setPrivateKey(candidate)
      return
    } catch (error) {
      cause = error
    } finally {
      candidate.fill(0)
    }
  }
  throw new TpmWireError('TPM_WIRE_RANGE', 'the random source yields no P-256 key', { cause })
}

function computeZ(ecdh: ReturnType<typeof createECDH>, recipient: EccPoint): Uint8Array {
  try {
    return ecdh.computeSecret(concat(Uint8Array.of(4), recipient.x, recipient.y))
  } catch (cause) {
    throw new TpmWireError('TPM_WIRE_RANGE', 'the storage key is not a point on P-256', { cause })
  }
}
