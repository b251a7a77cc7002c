import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { listenOnUnixSocket } from '@sealwright/unix-socket'

/** A caller sends a few hundred bytes over a Unix socket; whoever needs longer keeps a connection for nothing. */
const REQUEST_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 64

export interface ControlSocketOptions {
  /** Where to listen, mode 0600. */
  readonly path: string
  /** Loads what answers, when somebody asks for the first time: OpenBao can be served before that. */
  readonly loadApi: () => Promise<RequestListener>
  readonly onFailure: (error: unknown) => void
}

/**
 * Listens on the control socket. Disposing of it cuts all connections and removes the socket.
 *
 * @throws {UnixSocketError} any of its codes.
 */
export async function openControlSocket({ path, loadApi, onFailure }: ControlSocketOptions): Promise<AsyncDisposable> {
  let loading: Promise<RequestListener> | undefined

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      loading ??= loadApi()
      const api = await loading
      api(request, response)
    } catch (error) {
      onFailure(error)
      response.destroy()
    }
  }
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    void answer(request, response)
  })
  server.maxConnections = MAX_CONNECTIONS
  await listenOnUnixSocket(server, { path })
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
