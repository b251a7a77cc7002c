import { hex, sameBytes } from '@sealwright/bytes'
import { type ExpectedTpm, TpmError } from '@sealwright/tpm'

/** What to do about a TPM that is to have a record and has none. */
const ENROL_ANEW =
  'open by another seal, or enrol this one if it is meant to be here (bootstrap-init with the seal key and --new-tpm)'

/**
 * Picks the TPM that answers from those that a seal has records for.
 *
 * @param present - as the TPM of this machine describes itself now.
 * @throws {TpmError} `TPM_CLEARED`, `TPM_REPLACED` if it is none of them.
 */
export function recognisedTpm(enrolled: readonly ExpectedTpm[], present: ExpectedTpm): ExpectedTpm {
  const match = enrolled.find(({ storageKeyName }) => isSame(storageKeyName, present.storageKeyName))
  if (match !== undefined) return match
  const { endorsementKeyName } = present
  // The endorsement key outlives a clear, and no other TPM has it.
  if (enrolled.some(known => isSame(known.endorsementKeyName, endorsementKeyName))) {
    throw new TpmError(
      'TPM_CLEARED',
      `this TPM was cleared since sealing, and can never open its record again: ${ENROL_ANEW}; the record is kept`,
    )
  }
  const which = enrolled.length === 1 ? 'not the TPM' : `none of the ${enrolled.length} TPMs`
  const doubt = endorsementKeyName === undefined ? ' (or it is, and was cleared: no endorsement key tells)' : ''
  throw new TpmError(
    'TPM_REPLACED',
    `this is ${which} that the keyring has records for${doubt}: put the old one back, or ${ENROL_ANEW}; the records are kept`,
  )
}

/**
 * The TPM that answers, if it is the one that the configuration names.
 *
 * @param configuredName - of its storage key, in hex; `undefined` if any will do.
 * @throws {TpmError} `TPM_NAME_MISMATCH`.
 */
export function namedTpm<T extends ExpectedTpm>(present: T, configuredName: string | undefined): T {
  if (isNamed(present, configuredName)) return present
  throw new TpmError(
    'TPM_NAME_MISMATCH',
    `the TPM that answers has the storage key ${nameOf(present)}, and the configuration names ${String(configuredName)}: put that ` +
      'TPM back; or, if it was cleared or replaced on purpose, correct storageKeyName',
  )
}

/**
 * Those of the TPMs with records that the configuration names: one at most, unless any will do.
 *
 * @throws {TpmError} `TPM_NAME_MISMATCH` if there is none.
 */
export function namedTpms(
  enrolled: readonly ExpectedTpm[],
  configuredName: string | undefined,
): readonly ExpectedTpm[] {
  const named = enrolled.filter(tpm => isNamed(tpm, configuredName))
  if (named.length > 0) return named
  throw new TpmError(
    'TPM_NAME_MISMATCH',
    `the keyring has no record for the storage key that the configuration names, ${String(configuredName)}, but for ` +
      `${enrolled.map(nameOf).join(', ')}: correct storageKeyName, or run bootstrap-init on this node; the TPM was not asked`,
  )
}

function isNamed(tpm: ExpectedTpm, configuredName: string | undefined): boolean {
  return configuredName === undefined || nameOf(tpm) === configuredName
}

/** The name of a storage key as the configuration has it: 68 hexadecimal digits. */
export function nameOf({ storageKeyName }: ExpectedTpm): string {
  return hex(storageKeyName)
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one !== undefined && other !== undefined && sameBytes(one, other)
}
