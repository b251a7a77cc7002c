import { hex } from '@sealwright/bytes'
import { findSeal, findSealRecords, type Keyring, KeyringError, type KeyringRecord } from '@sealwright/keyring'
import { hasErrorCode } from '@sealwright/system-error'

/** The records that a keyring has for one seal. */
export interface SealRecords {
  readonly sealId: Uint8Array
  /** One at least. */
  readonly records: readonly KeyringRecord[]
}

/** @throws {KeyringError} `KEYRING_NO_RECORD` if it has none. */
export function recordsOfSeal(keyring: Keyring, sealName: string): SealRecords {
  const seal = findSeal(keyring, sealName)
  const records = findSealRecords(keyring, sealName)
  if (seal !== undefined && records.length > 0) return { sealId: seal.sealId, records }
  throw noRecord(sealName)
}

export function noRecord(sealName: string): KeyringError {
  return new KeyringError(
    'KEYRING_NO_RECORD',
    `the keyring has no record for the seal ${sealName}: open by another seal, then sealctl init --seal ${sealName}; or run bootstrap-init ` +
      'on this node with the seal key',
  )
}

/** A record that is no container of its kind. */
const UNREADABLE = ['TPM_BLOB_MALFORMED', 'PKCS11_BLOB_MALFORMED', 'TRANSIT_BLOB_MALFORMED'] as const

/** Whether a record itself cannot be read, whoever tries. */
export function isUnreadable(error: unknown): error is Error {
  return error instanceof Error && hasErrorCode(error, ...UNREADABLE)
}

/**
 * What records say of their devices, once for each member. A record that cannot be read says nothing, so that somebody else's damaged one
 * does not keep this node from its own; if none can be read, the first says why.
 */
export function readEachMember<T>(records: readonly KeyringRecord[], read: (sealedKek: Uint8Array) => T): readonly T[] {
  const byMember = new Map<string, T>()
  let unreadable: Error | undefined
  for (const { memberId, sealedKek } of records) {
    try {
      byMember.set(hex(memberId), read(sealedKek))
    } catch (error) {
      if (!isUnreadable(error)) throw error
      unreadable ??= error
    }
  }
  if (byMember.size === 0 && unreadable !== undefined) throw unreadable
  return [...byMember.values()]
}
