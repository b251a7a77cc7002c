import { errorCodeOf } from '@sealwright/system-error'
import { errors } from 'undici'
import { EtcdError, type EtcdErrorCode } from './errors.ts'

const UNAUTHORIZED = 401
const FORBIDDEN = 403
const MAX_QUOTED_CHARS = 200

/** Codes of gRPC that the gateway hands on (grpc.io, "Status codes and their use in gRPC"). */
const CODES: ReadonlyMap<number, EtcdErrorCode> = new Map([
  [4, 'ETCD_UNAVAILABLE'], // DEADLINE_EXCEEDED
  [7, 'ETCD_DENIED'], // PERMISSION_DENIED
  [8, 'ETCD_UNAVAILABLE'], // RESOURCE_EXHAUSTED
  [14, 'ETCD_UNAVAILABLE'], // UNAVAILABLE
  [16, 'ETCD_DENIED'], // UNAUTHENTICATED
])

/** Some failures differ only in their words (go.etcd.io/etcd/api/v3/v3rpc/rpctypes/error.go). */
const WORDS: readonly (readonly [RegExp, EtcdErrorCode])[] = [
  [/required revision has been compacted/, 'ETCD_COMPACTED'],
  // A member that was restored from an older backup, or is of another cluster.
  [/required revision is a future revision/, 'ETCD_OTHER_CLUSTER'],
  // The gateway is a client of its own etcd, by the server's certificate.
  [/tls: (bad|unknown) certificate|tls: unsupported/, 'ETCD_GATEWAY_BROKEN'],
  [/user name is empty|authentication failed|invalid auth token|permission denied/, 'ETCD_DENIED'],
]

const REMEDIES: Readonly<Partial<Record<EtcdErrorCode, string>>> = {
  ETCD_COMPACTED: 'the moment that was read is older than etcd keeps it, about 5 minutes under Kubernetes; begin anew',
  ETCD_OTHER_CLUSTER: 'this address does not know what another one has answered: name members of one cluster',
  ETCD_GATEWAY_BROKEN:
    'its gateway is no client that it believes: its server certificate needs client authentication too, as kubeadm’s has, or give etcd --client-cert-file and --client-key-file',
  ETCD_DENIED: 'give a client certificate that may read all keys, such as that of the API server',
  ETCD_UNAVAILABLE: 'etcd has no leader or is too busy; look at it, and try again',
}

/** An answer that is not a success. */
export function answerError(
  origin: string,
  { status, body }: { readonly status: number; readonly body: Uint8Array },
): EtcdError {
  const said = statusOf(body)
  const code =
    WORDS.find(([words]) => words.test(said?.message ?? ''))?.[1] ??
    CODES.get(said?.code ?? -1) ??
    (status === UNAUTHORIZED || status === FORBIDDEN ? 'ETCD_DENIED' : 'ETCD_REFUSED')
  const words = said === undefined ? 'what answers there is no etcd with its gateway for JSON' : said.message
  const remedy = REMEDIES[code]
  return new EtcdError(
    code,
    `etcd at ${origin}: status ${status}: ${words}${remedy === undefined ? '' : `: ${remedy}`}`,
  )
}

/** `{"code": …, "message": …}` of the gateway, on one line and shortened; undefined if it is something else. */
function statusOf(body: Uint8Array): { readonly code: number; readonly message: string } | undefined {
  try {
    const { code, message } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
    if (typeof code !== 'number' || typeof message !== 'string') return undefined
    return { code, message: message.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').slice(0, MAX_QUOTED_CHARS) }
  } catch {
    return undefined // a page of a proxy, for instance: its status says enough
  }
}

/** Nothing was sent: the other side is not there. */
const UNREACHABLE = new Set([
  ...['EACCES', 'EADDRNOTAVAIL', 'EAI_AGAIN', 'EAI_FAIL', 'ECONNREFUSED', 'EHOSTDOWN', 'EHOSTUNREACH', 'EMFILE'],
  ...['ENETDOWN', 'ENETUNREACH', 'ENOTFOUND', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'],
])
/** What OpenSSL says of a certificate and of a handshake, and what Node adds. */
const TLS =
  /^(?:ERR_SSL_|ERR_TLS_|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA$|INVALID_PURPOSE$|HOSTNAME_|PATH_LENGTH_|EPROTO$)/

/** A failure of the connection; undefined for what is a bug, and no failure of a connection. */
export function connectionError(origin: string, cause: unknown): EtcdError | undefined {
  const code = codeOf(cause)
  const error = (ours: EtcdErrorCode, what: string): EtcdError =>
    new EtcdError(ours, `etcd at ${origin}: ${what}`, { cause })
  if (cause instanceof errors.HTTPParserError) {
    // Without its cause: that error carries the bytes it could not read.
    return new EtcdError('ETCD_RESPONSE_MALFORMED', `etcd at ${origin}: the answer is not HTTP/1.1 (${code ?? ''})`)
  }
  if (code === undefined) return undefined
  if (UNREACHABLE.has(code)) return error('ETCD_UNREACHABLE', `no connection (${code})`)
  if (TLS.test(code)) {
    return error('ETCD_TLS', `TLS failed (${code}): check the CA, the client certificate, and the name in the address`)
  }
  if (code === 'UND_ERR_INVALID_ARG') return undefined
  return error('ETCD_CONNECTION_CUT', `the connection ended early (${code})`)
}

/** Where a host has several addresses Node reports all attempts at once; the first tells as much as all. */
function codeOf(cause: unknown): string | undefined {
  if (typeof cause === 'object' && cause !== null && 'errors' in cause && Array.isArray(cause.errors)) {
    return codeOf(cause.errors[0]) ?? errorCodeOf(cause)
  }
  return errorCodeOf(cause)
}
