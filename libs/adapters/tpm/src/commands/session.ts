import {
  type EccPoint,
  SHA256_BYTES,
  TPM_ALG_AES,
  TPM_ALG_CFB,
  TPM_ALG_NULL,
  TPM_ALG_SHA256,
  TPM_CC_StartAuthSession,
  TPM_RH_NULL,
  TPM_SE_HMAC,
  TPM_SE_POLICY,
  TPM_SE_TRIAL,
  concat,
  sessionKey,
  shareSecret,
  sized,
  u16,
  u32,
  u8,
} from '@sealwright/tpm-wire'

import { type Session } from '../authorization.ts'
import { type TpmConnection } from '../connection.ts'
import { onlyHandle, readResult } from '../result.ts'

const NAME = 'TPM2_StartAuthSession'
const NOTHING = new Uint8Array(0)
/** TPMT_SYM_DEF of AES-128-CFB, as our encrypting sessions use it (Part 2, clause 11.1.6). */
const AES_128_CFB = concat(u16(TPM_ALG_AES), u16(128), u16(TPM_ALG_CFB))
const NO_SYMMETRIC = u16(TPM_ALG_NULL)

/** A storage key that is loaded, and whose name was checked. */
export type SaltKey = { readonly handle: number; readonly point: EccPoint }

/**
 * Starts a session whose salt only the TPM that holds `saltKey` can read (Part 3, clause 11.1; Part 1, clauses 19.6.11 and C.6.2).
 * It encrypts parameters both ways. Its key is wiped and the session flushed when the operation ends.
 */
export async function startSaltedSession(
  tpm: TpmConnection,
  type: 'hmac' | 'policy',
  saltKey: SaltKey,
): Promise<Session> {
  const { secret: salt, encryptedSecret } = shareSecret(saltKey.point, 'SECRET', tpm.randomBytes)
  tpm.wipeAtEnd(salt)
  const { handle, nonceTpm, nonceCaller } = await startSession(tpm, {
    type: type === 'hmac' ? TPM_SE_HMAC : TPM_SE_POLICY,
    saltKeyHandle: saltKey.handle,
    encryptedSalt: encryptedSecret,
    symmetric: AES_128_CFB,
  })
  const key = sessionKey(salt, nonceTpm, nonceCaller)
  tpm.wipeAtEnd(key)
  return { handle, key, encrypts: true, nonceTpm }
}

/**
 * Starts a session that only proves knowledge of an auth value, before there is a key to salt with (Part 3, clause 11.1).
 * A listener on the bus can try out guesses for that value, but does not see it.
 */
export async function startPlainSession(tpm: TpmConnection): Promise<Session> {
  const { handle, nonceTpm } = await startSession(tpm, { ...UNSALTED, type: TPM_SE_HMAC })
  return { handle, key: NOTHING, encrypts: false, nonceTpm }
}

/** Starts a trial session, in which the TPM computes a policy digest for comparison (Part 3, clause 11.1). */
export async function startTrialSession(tpm: TpmConnection): Promise<number> {
  const { handle } = await startSession(tpm, { ...UNSALTED, type: TPM_SE_TRIAL })
  return handle
}

type SessionStart = {
  readonly type: number
  readonly saltKeyHandle: number
  readonly encryptedSalt: Uint8Array
  readonly symmetric: Uint8Array
}

const UNSALTED = { saltKeyHandle: TPM_RH_NULL, encryptedSalt: NOTHING, symmetric: NO_SYMMETRIC }

async function startSession(
  tpm: TpmConnection,
  start: SessionStart,
): Promise<{ readonly handle: number; readonly nonceTpm: Uint8Array; readonly nonceCaller: Uint8Array }> {
  const nonceCaller = tpm.randomBytes(SHA256_BYTES)
  const bind = TPM_RH_NULL
  const result = await tpm.run({
    name: NAME,
    commandCode: TPM_CC_StartAuthSession,
    // No session authorises this command, so the names of its handles are never hashed.
    handles: [start.saltKeyHandle, bind].map(handle => ({ handle, name: u32(handle) })),
    parameters: concat(
      sized(nonceCaller),
      sized(start.encryptedSalt),
      u8(start.type),
      start.symmetric,
      u16(TPM_ALG_SHA256),
    ),
    responseHandleCount: 1,
  })
  const handle = onlyHandle(NAME, result.handles)
  tpm.hold(handle)
  const nonceTpm = readResult(NAME, result.parameters, reader => Uint8Array.from(reader.sizedExactly(SHA256_BYTES)))
  return { handle, nonceTpm, nonceCaller }
}
