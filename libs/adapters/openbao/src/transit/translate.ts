import { type AuthMethod } from '../auth/auth-method.ts'
import { OpenBaoError } from '../error.ts'
import { isConnectTimeout, type TlsProblem, tlsProblemOf } from '../failure.ts'
import { TransitError, type TransitErrorCode } from './error.ts'

/** What messages name, so that the operator knows where to look. */
export interface KeyPlace {
  readonly address: string
  readonly namespace: string | undefined
  readonly mountPath: string
  readonly keyName: string
  readonly authMethod: AuthMethod['method']
}

type Words = readonly [TransitErrorCode, string]

/** Turns what the client throws into the words for a transit key. What is none of its errors stays as it is: a bug. */
export function transitErrorOf(error: unknown, place: KeyPlace): unknown {
  if (!(error instanceof OpenBaoError)) return error
  const [code, advice] = wordsFor(error, place)
  return new TransitError(code, `the OpenBao at ${place.address}: ${error.message}: ${advice}`, { cause: error })
}

function wordsFor(error: OpenBaoError, place: KeyPlace): Words {
  switch (error.code) {
    case 'OPENBAO_ADDRESS_INVALID':
    case 'OPENBAO_REQUEST_INVALID':
      return ['TRANSIT_OPTIONS_INVALID', 'correct the configuration of this transit key']
    case 'OPENBAO_UNREACHABLE':
      if (isConnectTimeout(error)) return TIMEOUT_WORDS
      return ['TRANSIT_UNREACHABLE', 'start it, or correct its address; it is tried again']
    case 'OPENBAO_TLS':
      return TLS_WORDS[tlsProblemOf(error)]
    case 'OPENBAO_TIMEOUT':
      return TIMEOUT_WORDS
    case 'OPENBAO_CANCELLED':
      return ['TRANSIT_CANCELLED', 'nothing is wrong']
    case 'OPENBAO_CONNECTION_CUT':
      return ['TRANSIT_CONNECTION_CUT', 'look at it and at what stands between; it is tried again']
    case 'OPENBAO_SEALED':
      return ['TRANSIT_SEALED', 'unseal it; it is tried again']
    case 'OPENBAO_PERMISSION_DENIED':
      return ['TRANSIT_DENIED', deniedAdvice(place)]
    case 'OPENBAO_REDIRECTED':
      return [
        'TRANSIT_REDIRECTED',
        'only a leader can do this, and there may be none: look at its nodes; it is tried again',
      ]
    case 'OPENBAO_RATE_LIMITED':
      return ['TRANSIT_RATE_LIMITED', 'raise its rate limit quota; it is tried again']
    case 'OPENBAO_NOT_FOUND':
      return notFoundWords(error, place)
    case 'OPENBAO_BAD_REQUEST':
      return badRequestWords(error, place)
    case 'OPENBAO_STATUS':
      return ['TRANSIT_STATUS', 'see its log; it is tried again']
    case 'OPENBAO_RESPONSE_MALFORMED':
    case 'OPENBAO_RESPONSE_TOO_LARGE':
      return ['TRANSIT_RESPONSE_MALFORMED', 'is this an OpenBao 2.7, and nothing in front of it? It is tried again']
    case 'OPENBAO_CREDENTIAL_UNREADABLE':
      return ['TRANSIT_CREDENTIAL_UNREADABLE', 'put the file right; it is read again at the next try']
    case 'OPENBAO_LOGIN_REFUSED':
      return loginRefusedWords(error, place)
    case 'OPENBAO_SECRET_ID_REFUSED':
      return [
        'TRANSIT_SECRET_ID_REFUSED',
        'give this node another secret id, or a role id that exists; the same ones are not sent again for 16 minutes, since five refusals lock the role for every node that uses it',
      ]
  }
}

const TIMEOUT_WORDS: Words = ['TRANSIT_TIMEOUT', 'look at it and at the way to it; it is tried again']

const TLS_WORDS: Readonly<Record<TlsProblem, Words>> = {
  untrusted: ['TRANSIT_CERTIFICATE_UNTRUSTED', 'correct the CA file that is configured, or find out who answers there'],
  expired: ['TRANSIT_CERTIFICATE_EXPIRED', 'renew its certificate; if that is good, correct the clock of this machine'],
  name: ['TRANSIT_CERTIFICATE_NAME', 'correct the configured address or server name, or find out who answers there'],
  'client-certificate': [
    'TRANSIT_CLIENT_CERTIFICATE',
    'configure a client certificate that it takes, or renew the one that is configured',
  ],
  other: [
    'TRANSIT_TLS',
    'correct the CA file or the client certificate and its key, or see whether TLS is spoken there',
  ],
}

function deniedAdvice(place: KeyPlace): string {
  const { mountPath, keyName } = place
  return deniedOrExpired(place, `update on ${mountPath}/encrypt/${keyName} or ${mountPath}/decrypt/${keyName}`)
}

/** OpenBao gives one answer for a token that is no good and for a policy that is missing. */
export function deniedOrExpired({ authMethod }: KeyPlace, lacking: string): string {
  const policy = `its policy lacks ${lacking}`
  return authMethod === 'token'
    ? `the token has expired, was revoked or never was one: put a new one into its file; or ${policy}. OpenBao does not say which`
    : `the token has expired or was revoked, or ${policy}. OpenBao does not say which; a login just made did not help, so look at the policy first`
}

function loginRefusedWords({ status }: OpenBaoError, { authMethod }: KeyPlace): Words {
  if (status === 400) {
    return ['TRANSIT_LOGIN_REFUSED', `correct the role or the credential of the ${authMethod} login; it is tried again`]
  }
  const special =
    authMethod === 'approle'
      ? ', or the role is locked for 15 minutes after five refused secret ids'
      : authMethod === 'kubernetes'
        ? ', or the Kubernetes API refused the token or could not be asked'
        : ''
  return ['TRANSIT_LOGIN_DENIED', `there is no ${authMethod} login at this path${special}; it is tried again`]
}

function notFoundWords({ serverErrors }: OpenBaoError, { namespace, mountPath, keyName }: KeyPlace): Words {
  if (says(serverErrors, /namespace not found/)) {
    return ['TRANSIT_NAMESPACE_MISSING', `correct the configured namespace ${namespace ?? ''}, or create it there`]
  }
  if (says(serverErrors, /no handler for route/)) {
    return [
      'TRANSIT_MOUNT_MISSING',
      `nothing is mounted at ${mountPath}: correct the configured mount path, or mount transit`,
    ]
  }
  if (serverErrors.length === 0) return ['TRANSIT_KEY_MISSING', missingKeyAdvice(keyName)]
  return ['TRANSIT_STATUS', 'see its log; it is tried again']
}

/** Texts of OpenBao 2.7.2. One that another version words anew falls to the last line: permanent, and with its reason. */
function badRequestWords({ serverErrors }: OpenBaoError, { keyName }: KeyPlace): Words {
  if (says(serverErrors, /encryption key not found/)) return ['TRANSIT_KEY_MISSING', missingKeyAdvice(keyName)]
  if (says(serverErrors, /soft-deleted key/)) return ['TRANSIT_KEY_SOFT_DELETED', softDeletedAdvice(keyName)]
  if (says(serverErrors, /disallowed by policy \(too old\)/)) {
    return [
      'TRANSIT_KEY_VERSION',
      `lower min_decryption_version of ${keyName} until this seal has a record by a newer version; never trim the old one before`,
    ]
  }
  if (says(serverErrors, /message authentication failed|invalid ciphertext/)) {
    return [
      'TRANSIT_CIPHERTEXT_REFUSED',
      `${keyName} is another key than the one that sealed this (made again under the same name, or a key of another OpenBao), or the record was changed: restore the key from its backup, restore the record from a copy, or open by another seal`,
    ]
  }
  if (says(serverErrors, /non-AEAD cipher suite|key derivation|does not support/)) {
    return ['TRANSIT_KEY_UNSUITABLE', `${keyName} must be a key of type aes256-gcm96, without derivation`]
  }
  return ['TRANSIT_REQUEST_REFUSED', 'see the reason it gives']
}

function missingKeyAdvice(keyName: string): string {
  return `there is no key ${keyName}: correct the key name of this seal, restore the key from its backup, or open by another seal`
}

/** What to do about a key that is marked as deleted. */
export function softDeletedAdvice(keyName: string): string {
  return `${keyName} is marked as deleted: restore it with soft-delete-restore while that is possible`
}

export function says(texts: readonly string[], pattern: RegExp): boolean {
  return texts.some(text => pattern.test(text))
}
