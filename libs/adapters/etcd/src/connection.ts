import { type Socket } from 'node:net'
import { type SecureContext } from 'node:tls'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import { EtcdError } from './errors.ts'
import { answerError, connectionError } from './failure.ts'
import {
  DEFAULT_MAX_RESPONSE_BYTES,
  DEFAULT_TIMEOUT_MS,
  type EtcdEndpoint,
  type EtcdOptions,
  parseEndpoints,
  secureContextOf,
} from './options.ts'

/** How long a connection, TLS included, may take. */
const CONNECT_TIMEOUT_MS = 5_000
const OK = 200

/** Failures of one member that another one may not have. */
const PASSING: ReadonlySet<string> = new Set([
  ...['ETCD_UNREACHABLE', 'ETCD_TLS', 'ETCD_TIMEOUT', 'ETCD_CONNECTION_CUT', 'ETCD_UNAVAILABLE'],
])

/** The way to the members of one cluster. */
export interface Connection {
  /** Sends JSON to a path, to the member that answered last, or to the next that does. Only for what may be asked twice. */
  readonly ask: (path: string, body: object, signal: AbortSignal) => Promise<Answer>
  readonly close: () => Promise<void>
}

export interface Answer {
  readonly origin: string
  readonly body: Uint8Array
}

/**
 * Opens connections to one cluster. Nothing is sent before the first question.
 *
 * @throws {EtcdError} `ETCD_OPTIONS_INVALID`.
 */
export function openConnection(options: EtcdOptions): Connection {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxResponseBytes = DEFAULT_MAX_RESPONSE_BYTES } = options
  const endpoints = parseEndpoints(options.endpoints)
  const context = secureContextOf(options, endpoints)
  const pools = endpoints.map(endpoint => ({ origin: endpoint.origin, pool: openPool(endpoint, context) }))
  /** Which one answered last. */
  let current = 0

  const askOne = async (
    { origin, pool }: { readonly origin: string; readonly pool: Pool },
    { path, body, signal }: { readonly path: string; readonly body: object; readonly signal: AbortSignal },
  ): Promise<Answer> => {
    const deadline = AbortSignal.timeout(timeoutMs)
    try {
      const response = await pool.request({
        ...{ method: 'POST', path, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } },
        signal: AbortSignal.any([signal, deadline]),
      })
      const answer = { origin, status: response.statusCode, body: await readBody(response, origin, maxResponseBytes) }
      if (answer.status !== OK) throw answerError(origin, answer)
      return answer
    } catch (cause) {
      if (cause instanceof EtcdError) throw cause
      if (signal.aborted) throw new EtcdError('ETCD_CANCELLED', `etcd at ${origin}: cancelled`, { cause })
      if (deadline.aborted) {
        throw new EtcdError('ETCD_TIMEOUT', `etcd at ${origin}: no answer in ${timeoutMs} ms`, { cause })
      }
      throw connectionError(origin, cause) ?? cause
    }
  }

  return {
    ask: async (path, body, signal) => {
      const failures: EtcdError[] = []
      // The one that answered last comes first.
      for (const pool of [...pools.slice(current), ...pools.slice(0, current)]) {
        try {
          const answer = await askOne(pool, { path, body, signal })
          current = pools.indexOf(pool)
          return answer
        } catch (error) {
          if (!(error instanceof EtcdError) || !PASSING.has(error.code)) throw error
          failures.push(error)
        }
      }
      const [first] = failures
      if (first !== undefined && failures.length === 1) throw first
      const words = failures.map(({ message }) => message).join('; ')
      throw new EtcdError(first?.code ?? 'ETCD_UNREACHABLE', words, { cause: first })
    },
    close: async () => {
      await Promise.all(
        pools.map(async ({ pool }) => {
          await pool.destroy()
        }),
      )
    },
  }
}

function openPool({ origin, isHttps }: EtcdEndpoint, secureContext: SecureContext | undefined): Pool {
  const common: Pool.Options = { connections: 1, allowH2: false, headersTimeout: 0, bodyTimeout: 0 }
  if (!isHttps || secureContext === undefined)
    return new Pool(origin, { ...common, connect: { timeout: CONNECT_TIMEOUT_MS } })
  const connect = buildConnector({
    timeout: CONNECT_TIMEOUT_MS,
    secureContext,
    // Said aloud, or NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch the check off.
    rejectUnauthorized: true,
    maxCachedSessions: 0,
    allowH2: false,
  })
  return new Pool(origin, { ...common, connect: keepAlerts(connect) })
}

/** In TLS 1.3 a refused client certificate comes as an alert with an end of stream behind it; undici would report the end. */
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

/** Reads to the end, but never more than `maxBytes`. */
async function readBody({ body }: Dispatcher.ResponseData, origin: string, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let byteLength = 0
  // Leaving the loop early destroys the body, and with it the connection.
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    byteLength += piece.byteLength
    if (byteLength > maxBytes) {
      throw new EtcdError('ETCD_RESPONSE_TOO_LARGE', `etcd at ${origin}: more than ${maxBytes} bytes of answer`)
    }
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
