import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { BYTES_TYPE } from '@sealwright/control-api'
import { listenOnUnixSocket } from '@sealwright/unix-socket'

/** Headers are a few hundred bytes over a Unix socket. How long a body may take depends on what is sent: the API decides. */
const HEADERS_TIMEOUT_MS = 10_000
const NO_LIMIT = 0
/** Node takes headers of up to 16 KiB. */
const PADDING_BYTES = 12 * 1024
const MAX_CONNECTIONS = 64

export interface ControlSocketOptions {
  /** Where to listen, mode 0600. */
  readonly path: string
  /** Loads what answers, when somebody asks for the first time: OpenBao can be served before that. */
  readonly loadApi: () => Promise<RequestListener>
  readonly onFailure: (error: unknown) => void
}

/**
 * Listens on the control socket. What comes in may be a share of a key: it is overwritten once it was answered.
 * Disposing of it cuts all connections and removes the socket.
 *
 * @throws {UnixSocketError} any of its codes.
 */
export async function openControlSocket({ path, loadApi, onFailure }: ControlSocketOptions): Promise<AsyncDisposable> {
  let loading: Promise<RequestListener> | undefined

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      loading ??= loadApi()
      const api = await loading
      if (mayBeSecret(request)) {
        response.once('close', () => {
          if (!server.listening) return
          overwriteReadBuffer(path, error => {
            if (server.listening) onFailure(error)
          })
        })
      }
      api(request, response)
    } catch (error) {
      onFailure(error)
      response.destroy()
    }
  }
  const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: NO_LIMIT }, (request, response) => {
    void answer(request, response)
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

/**
 * Node reads what comes over all connections into one buffer of its own, which nobody else reaches: it is overwritten by what comes
 * next. So something comes next. The request is harmless, and long enough for the shares of 60 people.
 */
function overwriteReadBuffer(path: string, onFailure: (error: unknown) => void): void {
  const padding = '0'.repeat(PADDING_BYTES)
  connect(path)
    .on('error', onFailure)
    .end(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nPadding: ${padding}\r\n\r\n`)
    .resume()
}

/** Whether the body may be a share of a key. */
function mayBeSecret({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.startsWith(BYTES_TYPE) ?? false
}
