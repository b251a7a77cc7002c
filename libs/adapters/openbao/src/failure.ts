import { type Secret } from '@sealwright/secret'
import { errorCodeOf } from '@sealwright/system-error'
import { errors } from 'undici'
import { OpenBaoError, type OpenBaoErrorCode } from './error.ts'
import { quote, quotePublic } from './quoting.ts'
import { repeats } from './repetition.ts'
import { memberOf } from './secret-fields.ts'
import { parseSecretJson, secretText } from './secret-json.ts'
import { type Answer } from './transport.ts'

/** How many of a server's error texts are kept. */
const MAX_ERROR_TEXTS = 4
/** A longer Location is none that any OpenBao sends. */
const MAX_LOCATION_CHARS = 600

/** Turns an unhappy status into an error with OpenBao's own words, as far as they may be quoted. */
export function statusError(
  { request, status, serverErrors }: Omit<Answer, 'body'>,
  redirectOrigin?: string,
): OpenBaoError {
  const said = serverErrors.length === 0 ? '' : `: ${serverErrors.join('; ')}`
  const towards = redirectOrigin === undefined ? '' : ` towards ${redirectOrigin}`
  return new OpenBaoError(codeOf(status, serverErrors), `${request}: status ${status}${towards}${said}`, {
    status,
    redirectOrigin,
    serverErrors,
  })
}

/**
 * 429 has three meanings in OpenBao: a standby's health (read in health.ts and never seen here), a rate limit quota
 * (with a text), and a read too fresh for this node (no text; only after `X-Vault-Index`, which we do not send).
 */
function codeOf(status: number, texts: readonly string[]): OpenBaoErrorCode {
  if (status >= 300 && status < 400) return 'OPENBAO_REDIRECTED'
  switch (status) {
    case 400:
      return 'OPENBAO_BAD_REQUEST'
    case 403:
      return 'OPENBAO_PERMISSION_DENIED'
    case 404:
      return 'OPENBAO_NOT_FOUND'
    case 429:
      return 'OPENBAO_RATE_LIMITED'
    case 503:
      // A proxy in front answers 503 too; only OpenBao itself says this.
      return texts.some(text => /\bis sealed\b/.test(text)) ? 'OPENBAO_SEALED' : 'OPENBAO_STATUS'
    default:
      return 'OPENBAO_STATUS'
  }
}

/**
 * The texts of `{"errors":[…]}`, as far as they may be quoted. Empty for any other body. Nothing else of it becomes a string.
 *
 * @param secrets - what was sent, and must not be shown, should the server repeat it.
 */
export function errorTexts(body: Uint8Array, secrets: readonly Secret[]): readonly string[] {
  try {
    const errors = memberOf(parseSecretJson(body, ''), 'errors')
    if (errors?.kind !== 'array') return []
    return errors.items
      .filter(item => item.kind === 'string')
      .slice(0, MAX_ERROR_TEXTS)
      .map(item => quoteFrom(body, item, secrets))
  } catch (error) {
    // A proxy's page, for instance: the status says enough.
    if (error instanceof OpenBaoError) return []
    throw error
  }
}

/** A text in a body, as far as it may be quoted. */
export function quoteFrom(
  body: Uint8Array,
  place: { readonly start: number; readonly end: number },
  secrets: readonly Secret[],
): string {
  using text = secretText(body, place, '')
  return quote(
    text.reveal(utf8 => new TextDecoder().decode(utf8)),
    secrets,
  )
}

/**
 * Where a redirect points to: scheme, host and port only, since the rest of a Location is nobody's business, and may hold anything. Undefined
 * if any of it repeats a secret.
 */
export function redirectOriginOf(location: unknown, secrets: readonly Secret[]): string | undefined {
  if (typeof location !== 'string' || location.length > MAX_LOCATION_CHARS) return undefined
  if (!URL.canParse(location) || repeats(location, secrets)) return undefined
  const { protocol, origin } = new URL(location)
  return protocol === 'https:' || protocol === 'http:' ? origin : undefined
}

/** Nothing was sent: the other side is not there. */
const UNREACHABLE = new Set([
  'EACCES',
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPERM',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** What OpenSSL says of a certificate (x509_vfy.h), of a handshake, and what Node adds. */
const TLS =
  /^(?:ERR_SSL_|ERR_TLS_|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA$|INVALID_PURPOSE$|HOSTNAME_|PATH_LENGTH_|EPROTO$)/

/** Undici's own checks of an answer. */
const NOT_HTTP = /^(?:UND_ERR_HEADERS_OVERFLOW$|UND_ERR_RES_|UND_ERR_RESPONSE)/

const PROGRAMMING_ERRORS = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'])

/**
 * Whether an error says that a program is wrong, and nothing of the network: ours, or undici about what we asked it for. By name:
 * `instanceof` knows only the errors of its own realm.
 */
export function isProgrammingError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('name' in error) || typeof error.name !== 'string') return false
  return PROGRAMMING_ERRORS.has(error.name) || errorCodeOf(error) === 'UND_ERR_INVALID_ARG'
}

/** Turns a failure of the connection into an error; `trust` tells what the certificate was checked against. */
export function connectionError(request: string, cause: unknown, trust: string): OpenBaoError {
  if (cause instanceof errors.HTTPParserError) {
    // Without its cause: that error carries the bytes it could not read, and a root token may be among them.
    return new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: the answer is not HTTP (${cause.message})`)
  }
  const code = codeOfCause(cause)
  if (UNREACHABLE.has(code)) {
    return new OpenBaoError('OPENBAO_UNREACHABLE', `${request}: no connection (${code})`, { cause })
  }
  if (TLS.test(code)) {
    return new OpenBaoError('OPENBAO_TLS', `${request}: TLS failed (${code}), checked with ${trust}`, {
      cause: withoutCertificate(cause, code),
    })
  }
  if (NOT_HTTP.test(code)) {
    return new OpenBaoError('OPENBAO_RESPONSE_MALFORMED', `${request}: the answer is not HTTP (${code})`, { cause })
  }
  return new OpenBaoError('OPENBAO_CONNECTION_CUT', `${request}: the connection ended early (${code})`, { cause })
}

/** Node adds the whole certificate of the other side, and all names in it to the message: as many as it likes. */
function withoutCertificate(cause: unknown, code: string): Error {
  const words = cause instanceof Error ? cause.message : String(cause)
  return Object.assign(new Error(quotePublic(words)), { code })
}

/**
 * Where a host has several addresses Node reports all attempts at once; the first tells as much as all. Not by
 * `instanceof`, which knows only the errors of its own realm.
 */
function codeOfCause(cause: unknown): string {
  const isObject = typeof cause === 'object' && cause !== null
  if (isObject && 'errors' in cause && Array.isArray(cause.errors) && cause.errors.length > 0) {
    return codeOfCause(cause.errors[0])
  }
  return errorCodeOf(cause) ?? 'no code'
}

/** Whether an `OPENBAO_UNREACHABLE` is about a host that keeps silent, and not one that is not there. */
export function isConnectTimeout(error: OpenBaoError): boolean {
  return /^(?:UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/.test(codeOfCause(error.cause))
}

/** What the two sides hold against each other's certificates. */
export type TlsProblem = 'untrusted' | 'expired' | 'name' | 'client-certificate' | 'other'

/** OpenSSL's words for a certificate that is in order but for its time. */
const EXPIRED = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])
const OTHER_NAME = new Set(['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'])
const UNTRUSTED = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|CRL_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_)/
/** Alerts of RFC 8446 §6.2 about a certificate come from the other side: they are about ours. */
const ABOUT_OURS = /_ALERT_(?:.*_)?(?:CERTIFICATE(?:_[A-Z]+)?|UNKNOWN_CA)$/

/** Tells what an `OPENBAO_TLS` is about. */
export function tlsProblemOf(error: OpenBaoError): TlsProblem {
  const code = codeOfCause(error.cause)
  if (EXPIRED.has(code)) return 'expired'
  if (OTHER_NAME.has(code)) return 'name'
  if (UNTRUSTED.test(code)) return 'untrusted'
  return ABOUT_OURS.test(code) ? 'client-certificate' : 'other'
}
