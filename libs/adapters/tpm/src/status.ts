import {
  type EccPublic,
  type PcrValue,
  TPMA_PERMANENT_inLockout,
  TPM_PT_FIRMWARE_VERSION_1,
  TPM_PT_FIRMWARE_VERSION_2,
  TPM_PT_LOCKOUT_COUNTER,
  TPM_PT_LOCKOUT_INTERVAL,
  TPM_PT_MANUFACTURER,
  TPM_PT_MAX_AUTH_FAIL,
  TPM_PT_PERMANENT,
  TPM_PT_VENDOR_STRING_1,
  TPM_PT_VENDOR_STRING_4,
  HMAC_SESSION_FIRST,
  TRANSIENT_FIRST,
} from '@sealwright/tpm-wire'

import { readHandles, readProperties } from './commands/capability.ts'
import { getRandomBytes } from './commands/get-random.ts'
import { pcrRead } from './commands/pcr-read.ts'
import { TpmError } from './errors.ts'
import { type CallOptions, type TpmAccess, withTpm } from './operation.ts'
import { assertSealPolicy } from './seal-policy.ts'
import { createStorageKey, readEndorsementKeyName } from './storage-key.ts'

/** What a TPM says about itself (Part 2, clause 6.13). */
export type TpmStatus = {
  /** Four characters, such as `IBM`, `INTC`, `IFX`, `STM`. */
  readonly manufacturer: string
  readonly vendor: string
  /** Both halves in dotted form, as vendors print it. */
  readonly firmwareVersion: string
  /** Failed authorisations that count at present, and how many lead to lockout. */
  readonly lockoutCounter: number
  readonly maxAuthFail: number
  /** Seconds after which the counter goes down by one. */
  readonly lockoutIntervalSeconds: number
  readonly inLockout: boolean
  /** Loaded transient objects and sessions, of anybody; behind a resource manager those of nobody. */
  readonly transientHandles: readonly number[]
  readonly sessionHandles: readonly number[]
}

/** Who a TPM is. Nothing in it is secret; another node needs it to seal for this TPM. */
export type TpmIdentity = {
  readonly storageKey: EccPublic
  /** 34 bytes. */
  readonly storageKeyName: Uint8Array
  /** 34 bytes, `undefined` if the endorsement hierarchy is closed to us. */
  readonly endorsementKeyName: Uint8Array | undefined
}

/** Reads properties and handles (TPM2_GetCapability; Part 3, clause 30.2). */
export async function readTpmStatus(access: TpmAccess, options: CallOptions = {}): Promise<TpmStatus> {
  return withTpm(access, options, async tpm => {
    const fixed = await readProperties(tpm, TPM_PT_MANUFACTURER, TPM_PT_FIRMWARE_VERSION_2 - TPM_PT_MANUFACTURER + 1)
    const variable = await readProperties(tpm, TPM_PT_PERMANENT, TPM_PT_LOCKOUT_INTERVAL - TPM_PT_PERMANENT + 1)
    const property = (from: ReadonlyMap<number, number>, tag: number) => {
      const value = from.get(tag)
      if (value === undefined)
        throw new TpmError('TPM_PROTOCOL', `the TPM does not tell property 0x${tag.toString(16)}`)
      return value
    }
    const vendorTags = Array.from(
      { length: TPM_PT_VENDOR_STRING_4 - TPM_PT_VENDOR_STRING_1 + 1 },
      (_, offset) => TPM_PT_VENDOR_STRING_1 + offset,
    )
    const firmware = [TPM_PT_FIRMWARE_VERSION_1, TPM_PT_FIRMWARE_VERSION_2].map(tag => property(fixed, tag))
    return {
      manufacturer: characters(property(fixed, TPM_PT_MANUFACTURER)),
      vendor: vendorTags.map(tag => characters(fixed.get(tag) ?? 0)).join(''),
      firmwareVersion: firmware.flatMap(half => [half >>> 16, half & 0xffff]).join('.'),
      lockoutCounter: property(variable, TPM_PT_LOCKOUT_COUNTER),
      maxAuthFail: property(variable, TPM_PT_MAX_AUTH_FAIL),
      lockoutIntervalSeconds: property(variable, TPM_PT_LOCKOUT_INTERVAL),
      inLockout: (property(variable, TPM_PT_PERMANENT) & TPMA_PERMANENT_inLockout) !== 0,
      transientHandles: await readHandles(tpm, TRANSIENT_FIRST),
      sessionHandles: await readHandles(tpm, HMAC_SESSION_FIRST),
    }
  })
}

/**
 * Derives storage key and endorsement key and returns who they are. A first meeting: nothing is compared.
 *
 * @throws {@link TpmError} `TPM_OWNER_AUTH` and those of the connection.
 */
export async function readTpmIdentity(access: TpmAccess, options: CallOptions = {}): Promise<TpmIdentity> {
  return withTpm(access, options, async tpm => {
    const { publicArea, name } = await createStorageKey(tpm, access.ownerAuth)
    return { storageKey: publicArea, storageKeyName: name, endorsementKeyName: await readEndorsementKeyName(tpm) }
  })
}

/**
 * Reads PCRs of the SHA-256 bank.
 *
 * @param pcrs - ascending numbers, at least one.
 * @throws {@link TpmError} `TPM_INVALID_ARGUMENT` for any other list, and those of the connection.
 */
export async function readPcrs(
  access: TpmAccess,
  pcrs: readonly number[],
  options: CallOptions = {},
): Promise<readonly PcrValue[]> {
  assertSealPolicy({ kind: 'pcr', pcrs })
  return withTpm(access, options, tpm => pcrRead(tpm, pcrs))
}

/** Reads random bytes from the TPM. They cross the bus in the clear: mix them in, never use them alone as a key. */
export async function getRandom(access: TpmAccess, count: number, options: CallOptions = {}): Promise<Uint8Array> {
  if (!Number.isInteger(count) || count < 1 || count > 1024) {
    throw new TpmError('TPM_INVALID_ARGUMENT', `1 to 1024 random bytes can be asked for, not ${count}`)
  }
  return withTpm(access, options, tpm => getRandomBytes(tpm, count))
}

/** Four ASCII characters in a number, without padding. */
function characters(value: number): string {
  return [24, 16, 8, 0]
    .map(shift => (value >>> shift) & 0xff)
    .filter(code => code >= 0x20 && code < 0x7f)
    .map(code => String.fromCharCode(code))
    .join('')
}
