import { type Server } from 'node:net'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { type CallReport } from './grpc-unary/method.ts'
import { unaryServer, type UnaryServerFailure } from './grpc-unary/server.ts'
import { DEFAULT_LIMITS, type KmsServerLimits } from './limits.ts'
import { type KmsMethod, unaryServiceOf } from './service.ts'

/** How one call went. */
export type KmsCallReport = CallReport<KmsMethod>

/** What goes wrong on our side, or beside all calls. */
export type KmsServerFailure = UnaryServerFailure<KmsMethod>

/** Parameters of {@link serveKmsV2}. */
export interface KmsServerOptions {
  readonly service: KmsV2Service
  /** Where kube-apiserver looks for the plugin: its `endpoint` without `unix://`. */
  readonly path: string
  /** Permission bits of the socket. Default 0600. */
  readonly mode?: number
  /** For an API server that runs as another user. */
  readonly owner?: KmsSocketOwner
  /** Has `server` listen on a socket that is open to nobody but its owner, at any moment: `listenOnUnixSocket` of `@sealwright/unix-socket`. */
  readonly listen: (server: Server, options: KmsListenOptions) => Promise<KmsSocket>
  readonly limits?: Partial<KmsServerLimits>
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  /** Told of every call, when it is answered. Must not throw. */
  readonly onCall?: (report: KmsCallReport) => void
  /** Must not throw. */
  readonly onFailure: (failure: KmsServerFailure) => void
}

/** Whom the socket is for. What is left out is the server's own. */
export interface KmsSocketOwner {
  readonly userId?: number
  readonly groupId?: number
}

/** What {@link KmsServerOptions.listen} is told. */
export interface KmsListenOptions {
  readonly path: string
  readonly mode: number
  readonly owner?: KmsSocketOwner
}

/** What {@link KmsServerOptions.listen} has made. */
export interface KmsSocket {
  /** Takes it away, so that the next server can take the place. */
  readonly remove: () => void
}

/** A running server. */
export interface KmsV2Server extends AsyncDisposable {
  readonly path: string
  /** Connections that are open. */
  readonly connectionCount: () => number
  /**
   * Removes the socket, has clients make no more calls, and resolves when those under way have been answered and all connections
   * are closed.
   *
   * @param options.timeoutMs - what is still open then is cut. The shortest counts, if it is called again.
   */
  readonly drain: (options: { readonly timeoutMs: number }) => Promise<void>
  /** The same without waiting. */
  readonly close: () => Promise<void>
}

const PRIVATE_MODE = 0o600

/**
 * Serves version 2 of Kubernetes' KMS provider protocol on a Unix socket.
 *
 * @throws what `listen` throws.
 */
export async function serveKmsV2(options: KmsServerOptions): Promise<KmsV2Server> {
  const { service, path, mode = PRIVATE_MODE, owner, listen, now, onCall, onFailure } = options
  const limits: KmsServerLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const server = unaryServer({ service: unaryServiceOf(service), limits, now, onCall, onFailure })
  const socket = await listen(server.listener, { path, mode, ...(owner === undefined ? {} : { owner }) })
  const drain: KmsV2Server['drain'] = options => {
    socket.remove()
    return server.drain(options)
  }
  const close = (): Promise<void> => drain({ timeoutMs: 0 })
  return { path, connectionCount: server.sessionCount, drain, close, [Symbol.asyncDispose]: close }
}
