import {
  ENDORSEMENT_KEY_TEMPLATE,
  STORAGE_KEY_TEMPLATE,
  TPM_RC_AUTH_FAIL,
  TPM_RC_BAD_AUTH,
  TPM_RH_ENDORSEMENT,
  TPM_RH_OWNER,
} from '@sealwright/tpm-wire'

import { type Secret } from '@sealwright/secret'

import { type Authorization } from './authorization.ts'
import { type PrimaryKey, createPrimary } from './commands/create-primary.ts'
import { flushContext } from './commands/flush.ts'
import { startPlainSession } from './commands/session.ts'
import { type TpmConnection } from './connection.ts'
import { TpmError, bareRcOf, causedBy } from './errors.ts'
import { copyKeyBytes } from './key-copy.ts'

/** What is known of a TPM from an earlier meeting: names of 34 bytes. */
export type ExpectedTpm = {
  readonly storageKeyName: Uint8Array
  readonly endorsementKeyName: Uint8Array | undefined
}

/**
 * Derives the storage key, without comparing it with anything: for a first meeting, where we trust who answers.
 *
 * @throws {@link TpmError} `TPM_OWNER_AUTH`.
 */
export async function createStorageKey(tpm: TpmConnection, ownerAuth: Secret | undefined): Promise<PrimaryKey> {
  try {
    const authorization = await ownerAuthorization(tpm, ownerAuth)
    return await createPrimary(tpm, TPM_RH_OWNER, STORAGE_KEY_TEMPLATE, authorization)
  } catch (error) {
    const rc = bareRcOf(error)
    if (rc !== TPM_RC_BAD_AUTH && rc !== TPM_RC_AUTH_FAIL) throw error
    const message = ownerAuth
      ? 'the TPM refused the owner authorisation: correct the value that is configured'
      : 'the owner hierarchy of this TPM has an authorisation value: configure it'
    throw new TpmError('TPM_OWNER_AUTH', message, causedBy(error))
  }
}

/**
 * Derives the storage key and makes sure that it is the one which is expected.
 *
 * @throws {@link TpmError} `TPM_CLEARED`, `TPM_REPLACED`, `TPM_OWNER_AUTH`.
 */
export async function createExpectedStorageKey(
  tpm: TpmConnection,
  ownerAuth: Secret | undefined,
  expected: ExpectedTpm,
): Promise<PrimaryKey> {
  const key = await createStorageKey(tpm, ownerAuth)
  if (Buffer.compare(key.name, expected.storageKeyName) === 0) return key
  await flushContext(tpm, key.handle)
  throw await strangerError(tpm, expected.endorsementKeyName)
}

/**
 * Derives the endorsement key and returns its name, 34 bytes. It survives TPM2_Clear, and no other TPM has it.
 *
 * @returns `undefined` if the endorsement hierarchy does not let us.
 */
export async function readEndorsementKeyName(tpm: TpmConnection): Promise<Uint8Array | undefined> {
  try {
    const key = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ENDORSEMENT_KEY_TEMPLATE, { kind: 'emptyPassword' })
    await flushContext(tpm, key.handle)
    return key.name
  } catch (error) {
    // Any refusal by the TPM means that the name is not to be had; a broken connection is another matter.
    if (error instanceof TpmError && error.code === 'TPM_RC') return undefined
    throw error
  }
}

async function ownerAuthorization(tpm: TpmConnection, ownerAuth: Secret | undefined): Promise<Authorization> {
  if (ownerAuth === undefined) return { kind: 'emptyPassword' }
  const authValue = ownerAuth.reveal(copyKeyBytes)
  tpm.wipeAtEnd(authValue)
  return { kind: 'session', session: await startPlainSession(tpm), authValue, provesAuthValue: true }
}

async function strangerError(
  tpm: TpmConnection,
  expectedEndorsementKeyName: Uint8Array | undefined,
): Promise<TpmError> {
  const endorsementKeyName = await readEndorsementKeyName(tpm)
  const remedy =
    'open by another seal and enrol this TPM anew (sealctl init --seal NAME, or bootstrap-init --new-tpm with the seal key; of a KMS plugin: sealctl kms keyring enroll, or recover --shares); the blob is kept'
  if (expectedEndorsementKeyName === undefined || endorsementKeyName === undefined) {
    return new TpmError(
      'TPM_REPLACED',
      `this TPM was cleared or replaced since sealing (no endorsement key tells which): ${remedy}`,
    )
  }
  if (Buffer.compare(endorsementKeyName, expectedEndorsementKeyName) === 0) {
    return new TpmError(
      'TPM_CLEARED',
      `this TPM was cleared since sealing, and can never open the blob again: ${remedy}`,
    )
  }
  return new TpmError(
    'TPM_REPLACED',
    `this is another TPM than the one that sealed: put the old one back, or ${remedy}`,
  )
}
