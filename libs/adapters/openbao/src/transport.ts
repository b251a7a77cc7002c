import { type Socket } from 'node:net'
import { joinBytes } from '@sealwright/bytes'
import { type Secret } from '@sealwright/secret'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import { type OpenBaoAddress, parseAddress } from './address.ts'
import { openLimit } from './deadline.ts'
import { OpenBaoError } from './error.ts'
import { connectionError, errorTexts, isProgrammingError, redirectOriginOf, statusError } from './failure.ts'
import { type ClientCertificate, describeTrust, type OpenBaoTrust, secureContext } from './trust.ts'

/** How long one call may take in all, unless it says otherwise. */
export const DEFAULT_TIMEOUT_MS = 10_000
/** How long a connection, TLS included, may take. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 3_000
/** Largest body we take. A raft challenge carries a keyring of up to 832 KiB, in base64; autopilot's state of a big cluster has some 10 kB. */
export const DEFAULT_MAX_RESPONSE_BYTES = 2_097_152

/** Calls at the same time; more of them wait, under their own deadlines. */
const MAX_CONNECTIONS = 8

export interface OpenBaoClientOptions {
  /** `https://host[:port]`, `http://` on a loopback host, or `unix:/absolute/path`. */
  readonly address: string
  /** Needed for https; refused for the others, where it would promise what it cannot keep. */
  readonly trust?: OpenBaoTrust
  /** Name that the certificate must hold, where it is not the address's host. */
  readonly serverName?: string
  readonly clientCertificate?: ClientCertificate
  /** Sent as `X-Vault-Namespace` with every call. Left out: the root namespace. */
  readonly namespace?: string
  readonly timeoutMs?: number
  readonly connectTimeoutMs?: number
  readonly maxResponseBytes?: number
  /** Tokens and secrets then travel readable for everybody on the way. */
  readonly unsafelyAllowPlainHttp?: boolean
}

/** What every call takes. */
export interface Call {
  /** Ends our waiting (`OPENBAO_CANCELLED`), not the server's work. */
  readonly signal: AbortSignal
  /** Limit for this call, from its start to the last byte of the answer. */
  readonly timeoutMs?: number
}

/** A call that OpenBao answers only to those it knows. */
export interface AuthenticatedCall extends Call {
  /** Stays the caller's. HTTP libraries take headers as strings only: one that cannot be wiped is made per call. */
  readonly token: Secret
}

export interface Request {
  readonly method: 'GET' | 'POST'
  /** Path below `/v1/`, encoded. Stands in messages. */
  readonly path: string
  /** Ours to the end of the call. */
  readonly body?: Uint8Array
  readonly call: Call | AuthenticatedCall
  /** Statuses that are answers and not failures. */
  readonly expected: readonly number[]
  /**
   * What the body holds and no error may show, should the server repeat it. Asked for only if the server says that something is wrong; to be
   * kept until the call has ended. The token needs no mention.
   */
  readonly secrets?: () => readonly Secret[]
  /** Largest body, where that of the transport does not suit. */
  readonly maxResponseBytes?: number
}

export interface Answer {
  readonly status: number
  readonly body: Uint8Array
  /** Unless it is a success: the errors in the body. No secret that was sent stands in them; they may be quoted, and no other text of the body. */
  readonly serverErrors: readonly string[]
  /** The request in words, for messages. */
  readonly request: string
}

/** Sends one request and takes its answer. Throws an {@link OpenBaoError}; a bug, such as a `TypeError`, passes through as it is. */
export type Send = (request: Request) => Promise<Answer>

export interface Transport {
  readonly send: Send
  /** Ends all connections at once. */
  readonly close: () => Promise<void>
  /** Takes no more calls, and ends once those under way have ended. */
  readonly retire: () => Promise<void>
}

/**
 * Opens a pool of HTTP/1.1 connections to one OpenBao node. Nothing is sent before the first call.
 *
 * @throws {@link OpenBaoError} `OPENBAO_ADDRESS_INVALID`, `OPENBAO_TLS`.
 */
export function openTransport(options: OpenBaoClientOptions): Transport {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const address = parseAddress(options.address, {
    unsafelyAllowPlainHttp: options.unsafelyAllowPlainHttp ?? false,
  })
  const pool = openPool(address, options)
  const trust = options.trust === undefined ? 'nothing' : describeTrust(options.trust)
  const namespace = options.namespace === undefined ? {} : { 'X-Vault-Namespace': namespaceText(options.namespace) }

  const send: Send = async sent => {
    const { method, path, body, call, expected } = sent
    const maxBytes = sent.maxResponseBytes ?? options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES
    const request = `${method} ${path}`
    const limitMs = call.timeoutMs ?? timeoutMs
    using limit = openLimit({ timeoutMs: limitMs, signal: call.signal })
    const headers = { ...requestHeaders(call, body), ...namespace }
    try {
      call.signal.throwIfAborted()
      const response = await pool.request({
        method,
        path: `/v1/${path}`,
        headers,
        body: body ?? null,
        signal: limit.signal,
      })
      const { statusCode: status, headers: answered } = response
      const received = await readBody(response, request, maxBytes)
      const secrets = isSuccess(status) ? [] : [...(sent.secrets?.() ?? []), ...('token' in call ? [call.token] : [])]
      const serverErrors = isSuccess(status) ? [] : errorTexts(received, secrets)
      const answer = { request, status, body: received, serverErrors }
      if (expected.includes(status)) return answer
      received.fill(0)
      throw statusError(answer, isRedirect(status) ? redirectOriginOf(answered.location, secrets) : undefined)
    } catch (cause) {
      if (cause instanceof OpenBaoError) throw cause
      if (call.signal.aborted) {
        throw new OpenBaoError('OPENBAO_CANCELLED', `${request}: cancelled by the caller`, { cause })
      }
      if (limit.isOver()) {
        throw new OpenBaoError('OPENBAO_TIMEOUT', `${request}: no answer in ${limitMs} ms`, { cause })
      }
      // A bug must not look like an outage, which would be waited for.
      if (isProgrammingError(cause)) throw cause
      throw connectionError(request, cause, trust)
    }
  }

  return {
    send,
    close: async () => {
      await pool.destroy()
    },
    retire: async () => {
      await pool.close()
    },
  }
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400
}

function openPool(address: OpenBaoAddress, options: OpenBaoClientOptions): Pool {
  const { trust, serverName, clientCertificate, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options
  const common: Pool.Options = {
    connections: MAX_CONNECTIONS,
    // One hung HTTP/2 connection would hang every call at once.
    allowH2: false,
    // The deadline of the call is the one limit; undici's own would be a second and coarser one.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  if (address.kind !== 'https') {
    if (trust !== undefined || serverName !== undefined || clientCertificate !== undefined) {
      throw new OpenBaoError('OPENBAO_TLS', `certificates are for https addresses only, not for ${address.kind}`)
    }
    if (address.kind === 'http') return new Pool(address.origin, { ...common, connect: { timeout: connectTimeoutMs } })
    const connect = { timeout: connectTimeoutMs, socketPath: address.socketPath }
    return new Pool('http://localhost', { ...common, connect })
  }
  if (trust === undefined) throw new OpenBaoError('OPENBAO_TLS', 'https needs a CA file, or the system authorities')
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    secureContext: secureContext(trust, clientCertificate),
    // Said aloud, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch the check off.
    rejectUnauthorized: trust.kind !== 'unsafely-anybody',
    // No session is resumed: each connection checks the certificate anew.
    maxCachedSessions: 0,
    allowH2: false,
    ...(serverName === undefined ? {} : { servername: serverName }),
  })
  return new Pool(address.origin, { ...common, connect: keepAlerts(connect) })
}

/**
 * In TLS 1.3 a server refuses a client's certificate only after the client believes the handshake done. The alert comes
 * as an error with an end of stream behind it; undici would report the end. Destroyed by the error, nothing else comes.
 */
function keepAlerts(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...result) => {
      result[1]?.once('error', function (this: Socket, error: Error) {
        this.destroy(error)
      })
      callback(...result)
    })
  }
}

function requestHeaders(call: Call | AuthenticatedCall, body: Uint8Array | undefined): Record<string, string> {
  return {
    // Listeners can demand it, against requests that a browser or a proxy was tricked into.
    'X-Vault-Request': 'true',
    Accept: 'application/json',
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...('token' in call ? { 'X-Vault-Token': call.token.reveal(tokenText) } : {}),
  }
}

/** Visible ASCII only: anything else would end the header line, or is the newline at the end of a token file. */
export function isTokenText(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.every(byte => byte >= 0x21 && byte <= 0x7e)
}

function tokenText(bytes: Uint8Array): string {
  if (!isTokenText(bytes)) {
    throw new OpenBaoError('OPENBAO_REQUEST_INVALID', 'the token is empty, or holds a space, newline or other odd byte')
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** Names of namespaces are printable ASCII without spaces, with slashes between parents and children. */
function namespaceText(namespace: string): string {
  if (/^[\x21-\x7e]+$/.test(namespace)) return namespace
  throw new OpenBaoError('OPENBAO_REQUEST_INVALID', `${JSON.stringify(namespace)} is not a namespace we can ask for`)
}

/** Reads to the end, but never more than `maxBytes`. The pieces are wiped: they may hold a root token. */
async function readBody(
  { body, statusCode }: Dispatcher.ResponseData,
  request: string,
  maxBytes: number,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let totalBytes = 0
  const read = Promise.withResolvers<undefined>()
  body.on('data', (piece: Uint8Array) => {
    totalBytes += piece.byteLength
    pieces.push(piece)
    if (totalBytes <= maxBytes) return
    const message = `${request}: more than ${maxBytes} bytes of answer`
    // The connection ends with the body.
    body.destroy(new OpenBaoError('OPENBAO_RESPONSE_TOO_LARGE', message, { status: statusCode }))
  })
  body.once('end', () => {
    read.resolve(undefined)
  })
  body.once('error', read.reject)
  body.once('close', () => {
    if (!body.readableEnded) read.reject(new Error('the body was closed before its end'))
  })
  try {
    await read.promise
    return joinBytes(pieces)
  } finally {
    for (const piece of pieces) piece.fill(0)
  }
}
