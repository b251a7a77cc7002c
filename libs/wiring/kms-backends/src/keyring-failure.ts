import { EnvelopeError } from '@sealwright/envelope'
import { KeyringError } from '@sealwright/keyring'
import { KmsError } from '@sealwright/kms-v2'
import { StoreError } from '@sealwright/seal-store'
import { type SealFailure } from '@sealwright/unseal'
import { KmsKeyringError, listOf } from './keyring-error.ts'

/** Why each seal did not open, by name. */
export type SealFailures = ReadonlyMap<string, SealFailure>

/** No seal has opened. The words name no device, file or address: those are in the cause. */
export function notOpened(failures: SealFailures): KmsError {
  const cause = new KmsKeyringError(
    'KMS_KEYRING_SEALED',
    `no seal of this node opens the keyring (${listOf(failures)})`,
  )
  return [...failures.values()].some(({ kind }) => kind === 'transient')
    ? new KmsError(
        'KMS_BACKEND_UNAVAILABLE',
        'no seal opens the keyring of the KMS plugin: a device or server is not there, or takes no PIN for a while; this ends by itself, see its log',
        { cause },
      )
    : new KmsError(
        'KMS_BACKEND_REFUSED',
        'no seal opens the keyring of the KMS plugin, and none will by itself: see its log, and sealctl kms keyring show --try',
        { cause },
      )
}

/** A failure of the store or of the keyring in it as one of ours; anything else, such as a bug, as it is. */
export function unusableStore(error: unknown): unknown {
  if (error instanceof KmsKeyringError && error.code === 'KMS_KEYRING_MISSING') {
    return new KmsError(
      'KMS_BACKEND_REFUSED',
      'this node has no keyring for its KMS plugin. Was there one: sealctl kms keyring recover or import. A further node is let in (enroll), and init is for the very first one of a new cluster',
      { cause: error },
    )
  }
  if (error instanceof StoreError && error.code === 'STORE_IN_USE') {
    return new KmsError('KMS_BACKEND_REFUSED', 'another program uses the store of the KMS plugin', { cause: error })
  }
  if (error instanceof StoreError || error instanceof KeyringError || error instanceof KmsKeyringError) {
    return new KmsError(
      'KMS_BACKEND_REFUSED',
      'the keyring of the KMS plugin cannot be used: see its log; another control-plane node, or a backup, may have a copy',
      { cause: error },
    )
  }
  return error
}

/** What does not decrypt, or was never encrypted by us. One text for all. */
export function refusedCiphertext(error: unknown): unknown {
  if (!(error instanceof EnvelopeError) || error.code === 'ENVELOPE_INPUT_INVALID') return error
  return new KmsError(
    'KMS_CIPHERTEXT_REFUSED',
    'the KMS plugin refuses this data: it was encrypted by another key, or changed',
    { cause: error },
  )
}
