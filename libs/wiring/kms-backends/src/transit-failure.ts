import { KmsError, type KmsErrorCode } from '@sealwright/kms-v2'
import { TransitError, type TransitErrorCode } from '@sealwright/openbao'

/** What each failure of the engine is for kube-apiserver. The words name no address, key, path or token: those are in the cause. */
const MEANINGS: Readonly<Record<TransitErrorCode, KmsErrorCode>> = {
  TRANSIT_OPTIONS_INVALID: 'KMS_BACKEND_REFUSED',
  TRANSIT_UNREACHABLE: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_TIMEOUT: 'KMS_DEADLINE_EXCEEDED',
  TRANSIT_CANCELLED: 'KMS_CANCELLED',
  TRANSIT_CONNECTION_CUT: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_CERTIFICATE_UNTRUSTED: 'KMS_BACKEND_REFUSED',
  TRANSIT_CERTIFICATE_EXPIRED: 'KMS_BACKEND_REFUSED',
  TRANSIT_CERTIFICATE_NAME: 'KMS_BACKEND_REFUSED',
  TRANSIT_CLIENT_CERTIFICATE: 'KMS_BACKEND_REFUSED',
  TRANSIT_TLS: 'KMS_BACKEND_REFUSED',
  TRANSIT_CREDENTIAL_UNREADABLE: 'KMS_BACKEND_REFUSED',
  TRANSIT_LOGIN_REFUSED: 'KMS_BACKEND_REFUSED',
  TRANSIT_LOGIN_DENIED: 'KMS_BACKEND_REFUSED',
  TRANSIT_SECRET_ID_REFUSED: 'KMS_BACKEND_REFUSED',
  TRANSIT_DENIED: 'KMS_BACKEND_REFUSED',
  TRANSIT_SEALED: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_NAMESPACE_MISSING: 'KMS_BACKEND_REFUSED',
  TRANSIT_MOUNT_MISSING: 'KMS_BACKEND_REFUSED',
  TRANSIT_KEY_MISSING: 'KMS_KEY_GONE',
  TRANSIT_KEY_SOFT_DELETED: 'KMS_KEY_GONE',
  TRANSIT_KEY_VERSION: 'KMS_VERSION_RETIRED',
  TRANSIT_KEY_UNSUITABLE: 'KMS_KEY_GONE',
  TRANSIT_VERSION_NOT_ENCRYPTING: 'KMS_KEY_GONE',
  // A server that lags behind, which catches up. That OpenBao has gone back in time is found out by looking at the key.
  TRANSIT_VERSION_TOO_NEW: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_OVERLOADED: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_CIPHERTEXT_REFUSED: 'KMS_CIPHERTEXT_REFUSED',
  TRANSIT_REQUEST_REFUSED: 'KMS_BACKEND_REFUSED',
  TRANSIT_RATE_LIMITED: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_REDIRECTED: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_STATUS: 'KMS_BACKEND_UNAVAILABLE',
  TRANSIT_RESPONSE_MALFORMED: 'KMS_BACKEND_BROKEN',
  TRANSIT_BLOB_MALFORMED: 'KMS_BACKEND_BROKEN',
  TRANSIT_METHOD_MISMATCH: 'KMS_BACKEND_BROKEN',
  TRANSIT_MEMBER_MISMATCH: 'KMS_BACKEND_BROKEN',
}

const WORDS: Readonly<Partial<Record<KmsErrorCode, string>>> = {
  KMS_BACKEND_UNAVAILABLE:
    'OpenBao is not available: it is down, sealed, or out of reach; this ends by itself once it is back',
  KMS_BACKEND_REFUSED:
    'OpenBao does not let the KMS plugin in: its login, policy or certificates, sealctl kms doctor on its node says which',
  KMS_BACKEND_BROKEN: 'OpenBao gave an answer that cannot be: check what stands between it and the KMS plugin',
  KMS_DEADLINE_EXCEEDED: 'OpenBao did not answer in time',
  KMS_CANCELLED: 'the call was cancelled',
  KMS_KEY_GONE: 'the key is not there, or cannot be used: restore it in OpenBao',
  KMS_VERSION_RETIRED:
    'OpenBao no longer decrypts by this version of the key: lower its min_decryption_version, and write the data anew before raising it',
  KMS_CIPHERTEXT_REFUSED: 'OpenBao refuses this data: it was encrypted by another key, or changed',
}

/** Where the words for all others of its code would mislead. */
const OWN_WORDS: Readonly<Partial<Record<TransitErrorCode, string>>> = {
  TRANSIT_VERSION_TOO_NEW:
    'OpenBao does not have this version of the key: a server that lags behind will soon; one that was restored from an older backup will not',
}

/** A failure of the engine as one of ours; anything else, such as a bug, as it is. */
export function kmsErrorOf(error: unknown): unknown {
  if (!(error instanceof TransitError)) return error
  const code = MEANINGS[error.code]
  return new KmsError(code, OWN_WORDS[error.code] ?? WORDS[code] ?? code, { cause: error })
}
