import { createServer, type ServerResponse } from 'node:http'
import { listenOnUnixSocket } from '@sealwright/unix-socket'

const HEADERS_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 64
const PLAIN_TEXT = 'text/plain; charset=utf-8'

export interface StatusApiOptions {
  readonly path: string
  /** `ok`, or why calls are not answered well. */
  readonly readyz: () => string
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> }
  /** Told of a bug behind an answer; the caller hears 500. */
  readonly onFailure: (cause: unknown) => void
}

/**
 * `/healthz` (this program runs), `/readyz` (200 while it serves and the backend works, else 503 and why) and `/metrics`, on a Unix socket of mode
 * 0600. Disposing of it cuts all connections and removes the socket.
 *
 * Three paths that take nothing need no framework: one costs 10 MiB in each control-plane node.
 *
 * @throws {UnixSocketError} any of its codes.
 */
export async function openStatusApi({ path, readyz, metrics, onFailure }: StatusApiOptions): Promise<AsyncDisposable> {
  const answer = async (url: string): Promise<Answer> => {
    switch (url) {
      case '/healthz':
        return { status: 200, contentType: PLAIN_TEXT, text: 'ok\n' }
      case '/readyz': {
        const readiness = readyz()
        return { status: readiness === 'ok' ? 200 : 503, contentType: PLAIN_TEXT, text: `${readiness}\n` }
      }
      case '/metrics':
        return { status: 200, contentType: metrics.contentType, text: await metrics.text() }
      default:
        return { status: 404, contentType: PLAIN_TEXT, text: 'there are /healthz, /readyz and /metrics\n' }
    }
  }
  const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS }, ({ method, url = '' }, response) => {
    if (method !== 'GET' && method !== 'HEAD') {
      send(response, { status: 405, contentType: PLAIN_TEXT, text: 'only GET\n' })
      return
    }
    answer(url).then(
      result => {
        send(response, result)
      },
      (cause: unknown) => {
        onFailure(cause)
        send(response, { status: 500, contentType: PLAIN_TEXT, text: 'see the log\n' })
      },
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  const socket = await listenOnUnixSocket(server, { path })
  return {
    async [Symbol.asyncDispose]() {
      socket.remove()
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

interface Answer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

function send(response: ServerResponse, { status, contentType, text }: Answer): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) }).end(text)
}
