import { createServer, type Server, type Socket } from 'node:net'
import { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { ActiveCall, type CallContext, sendHttpStatus, sendRefusal } from './call.ts'
import { type UnaryLimits } from './limits.ts'
import { type CallReport, type UnaryService } from './method.ts'
import { openSession, type Session, type SessionFault } from './session.ts'
import { type Refusal } from './status.ts'

/** What goes wrong on our side, or beside all calls. */
export type UnaryServerFailure<Name extends string> =
  | { readonly kind: 'handlerFailed'; readonly method: Name; readonly cause: unknown }
  | { readonly kind: 'connectionCut'; readonly fault: SessionFault; readonly cause: unknown }
  | { readonly kind: 'connectionRefused'; readonly maxSessions: number }

export interface UnaryServerOptions<Name extends string> {
  readonly service: UnaryService<Name>
  readonly limits: UnaryLimits
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly onCall?: ((report: CallReport<Name>) => void) | undefined
  readonly onFailure: (failure: UnaryServerFailure<Name>) => void
}

/** A gRPC server for unary calls. */
export interface UnaryServer {
  /** For its owner to let it listen somewhere. */
  readonly listener: Server
  /** Connections that are open. */
  readonly sessionCount: () => number
  /**
   * Stops listening, takes no more calls, and resolves when those under way have been answered.
   *
   * @param options.timeoutMs - what is left after that is cut. The shortest counts, if it is called again.
   */
  readonly drain: (options: { readonly timeoutMs: number }) => Promise<void>
}

const UNKNOWN_METHOD: Refusal = { status: 'UNIMPLEMENTED', message: 'there is no such method' }
const METHOD_NOT_ALLOWED = 405
const UNSUPPORTED_MEDIA_TYPE = 415
const HEADERS_TOO_LARGE = 431
/** `application/grpc`, alone or with a suffix or parameters. */
const GRPC_CONTENT_TYPE = /^application\/grpc(?:$|[+;])/

/** Serves unary gRPC over HTTP/2 without TLS. */
export function unaryServer<Name extends string>({
  service,
  limits,
  now,
  onCall,
  onFailure,
}: UnaryServerOptions<Name>): UnaryServer {
  const sessions = new Set<Session>()
  let leaving: Promise<void> | undefined
  const context: CallContext<Name> = {
    service,
    maxMessageBytes: limits.maxMessageBytes,
    now,
    onCall,
    onBug(method, cause) {
      onFailure({ kind: 'handlerFailed', method, cause })
    },
  }

  function accept(socket: Socket): void {
    const session = openSession(socket, {
      limits,
      onStream(stream, headers, isOversized) {
        // What befell a stream is told by its 'close'; without a listener an error would end the process.
        stream.on('error', ignore)
        if (isOversized) refuseUnread(stream, HEADERS_TOO_LARGE)
        else receive(context, stream, headers)
      },
      onFault(fault, cause) {
        onFailure({ kind: 'connectionCut', fault, cause })
      },
    })
    sessions.add(session)
    void session.closed.then(() => sessions.delete(session))
  }

  async function leave(): Promise<void> {
    const closed = new Promise<void>(resolve => {
      listener.close(() => {
        resolve()
      })
    })
    const left = [...sessions]
    for (const session of left) session.leave()
    await Promise.all([closed, ...left.map(session => session.closed)])
  }

  const listener = createServer(accept)
  listener.maxConnections = limits.maxSessions
  listener.on('drop', () => {
    onFailure({ kind: 'connectionRefused', maxSessions: limits.maxSessions })
  })
  return {
    listener,
    sessionCount: () => sessions.size,
    async drain({ timeoutMs }) {
      leaving ??= leave()
      const timer = setTimeout(() => {
        for (const session of sessions) session.cut()
      }, timeoutMs)
      await leaving
      clearTimeout(timer)
    },
  }
}

function receive<Name extends string>(
  context: CallContext<Name>,
  stream: ServerHttp2Stream,
  {
    ':method': httpMethod,
    ':path': path = '',
    'content-type': contentType = '',
    'grpc-timeout': timeout,
  }: IncomingHttpHeaders,
): void {
  if (httpMethod !== 'POST') {
    refuseUnread(stream, METHOD_NOT_ALLOWED)
    return
  }
  if (!GRPC_CONTENT_TYPE.test(contentType)) {
    refuseUnread(stream, UNSUPPORTED_MEDIA_TYPE)
    return
  }
  const method = context.service.methods.get(path)
  if (method === undefined) {
    refuseUnread(stream, UNKNOWN_METHOD)
    return
  }
  const call = new ActiveCall(context, stream, method)
  if (typeof timeout === 'string') call.limitTime(timeout)
}

/** @param refusal - in words of gRPC, or a status of HTTP for what is no gRPC. */
function refuseUnread(stream: ServerHttp2Stream, refusal: Refusal | number): void {
  stream.on('data', wipe)
  if (typeof refusal === 'number') sendHttpStatus(stream, refusal)
  else sendRefusal(stream, refusal)
}

/** Of a request that nobody reads: a caller that mistook the path may have sent a secret all the same. */
function wipe(part: Uint8Array): void {
  part.fill(0)
}

function ignore(): void {
  // nothing to do
}
