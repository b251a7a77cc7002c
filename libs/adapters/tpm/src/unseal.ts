import { KEY_BYTES } from '@sealwright/keyring'
import { type PcrPolicy } from '@sealwright/pcr-policies'
import { Secret } from '@sealwright/secret'
import {
  type PcrValue,
  TPM_RC_AUTH_FAIL,
  TPM_RC_BAD_AUTH,
  TPM_RC_PCR_CHANGED,
  TPM_RC_POLICY_FAIL,
  decodeRc,
} from '@sealwright/tpm-wire'

import { chooseApprovedPolicy, pcrsMovedError, runApprovedPolicy } from './approved-policy.ts'
import { type Authorization, type Session } from './authorization.ts'
import { pcrRead } from './commands/pcr-read.ts'
import { runPolicyAuthValue, runPolicyPcr } from './commands/policy.ts'
import { importSealed, loadSealed, unsealObject, withEmptyAuth } from './commands/sealed-object.ts'
import { type SaltKey, startSaltedSession } from './commands/session.ts'
import { type NamedHandle, type TpmConnection } from './connection.ts'
import { type PcrDrift, TpmError, bareRcOf, causedBy } from './errors.ts'
import { type CallOptions, type TpmAccess, withTpm } from './operation.ts'
import { authValueOfPin } from './pin.ts'
import { assertTriesLeft, unlessPinIsUnknown } from './pin-tries.ts'
import { type SealedKek, decodeSealedKek } from './sealed-kek.ts'
import { createExpectedStorageKey } from './storage-key.ts'

/** What the conditions of a seal are met with. */
export type UnsealCredentials = {
  readonly pin?: Secret
  /** For a seal of kind `authorized`: the one for the current PCRs is picked, the others are not tried. */
  readonly policies?: readonly PcrPolicy[]
}

/**
 * Opens a sealed KEK container in the TPM that it is for.
 *
 * A PIN is sent at most once, and not at all when a wrong one would lead to lockout. Nothing here changes or deletes the
 * container.
 *
 * @param container - what `sealKek` or `sealKekForRemote` made.
 * @returns 32 bytes; the caller owns and wipes them.
 * @throws {@link TpmError} any code.
 */
export async function unsealKek(
  access: TpmAccess,
  container: Uint8Array,
  credentials: UnsealCredentials = {},
  options: CallOptions = {},
): Promise<Secret> {
  const sealed = decodeSealedKek(container)
  if (sealed.policy.hasPin && credentials.pin === undefined) {
    throw new TpmError(
      'TPM_PIN_REQUIRED',
      'this key was sealed with a PIN: name its file (pinFile), then restart the agent',
    )
  }
  return withTpm(access, options, async tpm => {
    const storageKey = await createExpectedStorageKey(tpm, access.ownerAuth, sealed)
    const saltKey = { handle: storageKey.handle, point: storageKey.publicArea.unique }
    const session = await startSaltedSession(tpm, 'hmac', saltKey)
    const object = await loadObject(tpm, storageKey, session, sealed)
    const data = await unsealUnderPolicy(tpm, { object, session, saltKey, sealed, credentials })
    if (data.byteLength !== KEY_BYTES) {
      data.fill(0)
      throw new TpmError('TPM_BLOB_CORRUPT', `the TPM opened ${data.byteLength} bytes, not a key of ${KEY_BYTES}`)
    }
    return new Secret(data)
  })
}

async function loadObject(
  tpm: TpmConnection,
  storageKey: NamedHandle,
  session: Session,
  { object }: SealedKek,
): Promise<NamedHandle> {
  try {
    const loadable = object.method === 'imported' ? await importSealed(tpm, storageKey, session, object) : object
    return await loadSealed(tpm, storageKey, session, loadable)
  } catch (error) {
    if (!(error instanceof TpmError) || error.code !== 'TPM_RC' || error.rc === undefined) throw error
    // The storage key is the right one, so a complaint about what we sent is one about the blob: mostly TPM_RC_INTEGRITY.
    if (decodeRc(error.rc).subject?.kind !== 'parameter') throw error
    const message = `the sealed key was changed since it was made (${error.message}): restore it from a copy; or open by another seal and run sealctl tpm reseal --seal NAME; or run bootstrap-init --reseal with the seal key`
    throw new TpmError('TPM_BLOB_CORRUPT', message, causedBy(error))
  }
}

type Unsealing = {
  readonly object: NamedHandle
  readonly session: Session
  readonly saltKey: SaltKey
  readonly sealed: SealedKek
  readonly credentials: UnsealCredentials
}

async function unsealUnderPolicy(tpm: TpmConnection, unsealing: Unsealing): Promise<Uint8Array> {
  const { object, session, saltKey, sealed, credentials } = unsealing
  const { policy } = sealed
  if (policy.state.kind === 'none' && !policy.hasPin) {
    return unsealObject(tpm, object, withEmptyAuth(session), { triesPin: false })
  }
  const policySession = await startSaltedSession(tpm, 'policy', saltKey)
  await satisfyState(tpm, policySession, sealed, credentials.policies ?? [])
  if (policy.hasPin) await runPolicyAuthValue(tpm, policySession.handle)
  const authValue = authValueOfPin(policy.hasPin ? credentials.pin : undefined)
  tpm.wipeAtEnd(authValue)
  const authorization: Authorization = {
    kind: 'session',
    session: policySession,
    authValue,
    provesAuthValue: policy.hasPin,
  }
  if (policy.hasPin) await assertTriesLeft(tpm, session)
  try {
    return await unsealObject(tpm, object, authorization, { triesPin: policy.hasPin })
  } catch (error) {
    throw await explainRefusal(tpm, sealed, error)
  }
}

async function satisfyState(
  tpm: TpmConnection,
  session: Session,
  sealed: SealedKek,
  policies: readonly PcrPolicy[],
): Promise<void> {
  const { state } = sealed.policy
  switch (state.kind) {
    case 'none':
      return
    case 'pcr':
      await runPolicyPcr(tpm, session.handle, state.pcrs)
      return
    case 'authorized':
      await runApprovedPolicy(tpm, session, state, await chooseApprovedPolicy(tpm, state, policies))
      return
  }
}

async function explainRefusal(tpm: TpmConnection, sealed: SealedKek, error: unknown): Promise<unknown> {
  const rc = bareRcOf(error)
  if (rc === TPM_RC_POLICY_FAIL || rc === TPM_RC_PCR_CHANGED) {
    return pcrError(tpm, sealed, error)
  }
  if (sealed.policy.hasPin && (rc === TPM_RC_AUTH_FAIL || rc === TPM_RC_BAD_AUTH)) {
    const message = 'the TPM refused the PIN, and counted it as a failed attempt: do not repeat it, check it first'
    return new TpmError('TPM_PIN_WRONG', message, causedBy(error))
  }
  return sealed.policy.hasPin ? unlessPinIsUnknown(error) : error
}

/** Reads the PCRs after a refusal and names those that are not as they were at sealing. */
async function pcrError(tpm: TpmConnection, sealed: SealedKek, cause: unknown): Promise<TpmError> {
  if (sealed.policy.state.kind === 'authorized') return pcrsMovedError(cause)
  const drift = await readDrift(tpm, sealed.pcrValues)
  const changed =
    drift.length > 0
      ? `PCR ${drift.map(({ index }) => index).join(', ')} changed since sealing`
      : 'no recorded PCR differs from sealing'
  const message = `this machine is not in the state that the seal demands: ${changed} (the TPM refused its policy); boot as before, or open by another seal; if the change was meant, then run sealctl tpm reseal --seal NAME, or run bootstrap-init --reseal with the seal key`
  return new TpmError('TPM_PCR_MISMATCH', message, { ...causedBy(cause), drift })
}

async function readDrift(tpm: TpmConnection, sealedValues: readonly PcrValue[]): Promise<readonly PcrDrift[]> {
  if (sealedValues.length === 0) return []
  const indices = sealedValues.map(({ index }) => index)
  const current = new Map((await pcrRead(tpm, indices)).map(({ index, value }) => [index, value]))
  return sealedValues.flatMap(({ index, value: expected }) => {
    const now = current.get(index)
    return now === undefined || Buffer.compare(now, expected) === 0 ? [] : [{ index, expected, current: now }]
  })
}
