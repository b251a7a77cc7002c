import { KEY_BYTES } from '@sealwright/keyring'
import { type Secret } from '@sealwright/secret'
import {
  type EccPublic,
  type PcrValue,
  type RandomBytes,
  createImportBlob,
  emptyPolicyDigest,
  encodePublic,
  objectName,
  sealedTemplate,
} from '@sealwright/tpm-wire'

import { flushContext } from './commands/flush.ts'
import { pcrRead } from './commands/pcr-read.ts'
import {
  NULL_TICKET,
  policyGetDigest,
  runPolicyAuthValue,
  runPolicyAuthorize,
  runPolicyPcr,
} from './commands/policy.ts'
import { createSealed } from './commands/sealed-object.ts'
import { startSaltedSession, startTrialSession } from './commands/session.ts'
import { type TpmConnection } from './connection.ts'
import { TpmError, argumentError } from './errors.ts'
import { copyKeyBytes } from './key-copy.ts'
import { type CallOptions, type TpmAccess, withTpm } from './operation.ts'
import { authValueOfPin } from './pin.ts'
import {
  type ResolvedPolicy,
  type SealPolicy,
  assertSealPolicy,
  authPolicyOf,
  pcrsOf,
  resolvePolicy,
} from './seal-policy.ts'
import { encodeSealedKek } from './sealed-kek.ts'
import { type ExpectedTpm, createExpectedStorageKey, readEndorsementKeyName } from './storage-key.ts'

/** Conditions under which the TPM shall open what it seals. */
export type SealConditions = {
  readonly policy: SealPolicy
  /** With a PIN, the TPM's dictionary attack protection watches over the object. */
  readonly pin?: Secret
}

/**
 * Seals a 32-byte key-encryption key inside a TPM.
 *
 * The policy digest is computed here and by the TPM, and nothing is sealed unless both agree.
 *
 * @param kek - not wiped here. @param expected - the TPM that this must be.
 * @returns A sealed KEK container, see docs/formats/tpm-sealed-kek.md.
 * @throws {@link TpmError} any code but the `TPM_BLOB_…`, `TPM_PCR_…` and `TPM_PIN_…` ones.
 */
export async function sealKek(
  access: TpmAccess,
  expected: ExpectedTpm,
  conditions: SealConditions,
  kek: Secret,
  options: CallOptions = {},
): Promise<Uint8Array> {
  assertKek(kek)
  assertSealPolicy(conditions.policy)
  return withTpm(access, options, async tpm => {
    const storageKey = await createExpectedStorageKey(tpm, access.ownerAuth, expected)
    const endorsementKeyName = await readEndorsementKeyName(tpm)
    const pcrs = pcrsOf(conditions.policy)
    const pcrValues = pcrs.length > 0 ? await pcrRead(tpm, pcrs) : []
    const policy = resolvePolicy(conditions.policy, conditions.pin !== undefined, pcrValues)
    const authPolicy = authPolicyOf(policy)
    if (authPolicy.byteLength > 0) await assertSamePolicy(tpm, policy, authPolicy)

    const saltKey = { handle: storageKey.handle, point: storageKey.publicArea.unique }
    const session = await startSaltedSession(tpm, 'hmac', saltKey)
    const template = sealedTemplate({ method: 'sealed', authPolicy, hasPin: policy.hasPin })
    const authValue = authValueOfPin(conditions.pin)
    tpm.wipeAtEnd(authValue)
    const data = kek.reveal(copyKeyBytes)
    tpm.wipeAtEnd(data)
    const object = await createSealed(tpm, storageKey, session, { template, authValue, data })
    const storageKeyName = storageKey.name
    return encodeSealedKek({
      storageKeyName,
      endorsementKeyName,
      pcrValues,
      policy,
      object: { method: 'sealed', ...object },
    })
  })
}

/** A TPM as another node knows it: enough to seal for it while it is away. Nothing in it is secret. */
export type RemoteTpm = {
  /** Public area of its storage key. */
  readonly storageKey: EccPublic
  readonly endorsementKeyName: Uint8Array | undefined
}

/**
 * Seals a 32-byte key-encryption key for a TPM that need not be there: only that TPM can import it.
 *
 * @param conditions.pcrValues - values to demand of that TPM's PCRs, for a `pcr` policy; or to record, for an `authorized` one.
 * @returns A sealed KEK container.
 * @throws {@link TpmError} `TPM_INVALID_ARGUMENT`.
 */
export function sealKekForRemote(
  remote: RemoteTpm,
  conditions: SealConditions & { readonly pcrValues?: readonly PcrValue[] },
  kek: Secret,
  randomBytes: RandomBytes,
): Uint8Array {
  assertKek(kek)
  assertSealPolicy(conditions.policy)
  const pcrValues = conditions.pcrValues ?? []
  const pcrs = pcrsOf(conditions.policy)
  if (pcrValues.length !== pcrs.length || !pcrValues.every(({ index }, position) => index === pcrs[position])) {
    throw new TpmError('TPM_INVALID_ARGUMENT', 'pcrValues must hold exactly the PCRs of the policy, in the same order')
  }
  const policy = resolvePolicy(conditions.policy, conditions.pin !== undefined, pcrValues)
  const authValue = authValueOfPin(conditions.pin)
  try {
    const blob = kek.reveal(data =>
      createImportBlob({
        storageKey: remote.storageKey,
        authPolicy: authPolicyOf(policy),
        hasPin: policy.hasPin,
        authValue,
        data,
        randomBytes,
      }),
    )
    return encodeSealedKek({
      storageKeyName: objectName(encodePublic(remote.storageKey)),
      endorsementKeyName: remote.endorsementKeyName,
      pcrValues,
      policy,
      object: { method: 'imported', ...blob },
    })
  } catch (error) {
    throw argumentError(error)
  } finally {
    authValue.fill(0)
  }
}

function assertKek(kek: Secret): void {
  if (kek.byteLength !== KEY_BYTES) {
    throw new TpmError('TPM_INVALID_ARGUMENT', `a key-encryption key has ${KEY_BYTES} bytes, not ${kek.byteLength}`)
  }
}

/** Lets the TPM run the policy in a trial session: a mistake in our arithmetic would else show only when it is too late. */
async function assertSamePolicy(tpm: TpmConnection, policy: ResolvedPolicy, authPolicy: Uint8Array): Promise<void> {
  const session = await startTrialSession(tpm)
  const { state } = policy
  if (state.kind === 'pcr') await runPolicyPcr(tpm, session, state.pcrs)
  if (state.kind === 'authorized') {
    const signerName = objectName(encodePublic(state.signer))
    const approvedPolicy = emptyPolicyDigest()
    await runPolicyAuthorize(tpm, session, {
      approvedPolicy,
      policyRef: state.policyRef,
      signerName,
      ticket: NULL_TICKET,
    })
  }
  if (policy.hasPin) await runPolicyAuthValue(tpm, session)
  const computed = await policyGetDigest(tpm, session)
  await flushContext(tpm, session)
  if (Buffer.compare(computed, authPolicy) !== 0) {
    throw new TpmError(
      'TPM_PROTOCOL',
      'the TPM computes another policy than we do: its PCRs may have changed just now, try again',
    )
  }
}
