import { createServer, type Server, type Socket } from 'node:net'
import { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { ActiveCall, type CallContext, sendHttpStatus, sendRefusal } from './call.ts'
import { Caller, CallMemory, HeldMemory } from './call-memory.ts'
import { type UnaryLimits } from './limits.ts'
import { type CallReport, type UnaryService } from './method.ts'
import { openSession, type Session, type SessionFault } from './session.ts'
import { type Refusal } from './status.ts'

/** What goes wrong on our side, or beside all calls. */
export type UnaryServerFailure<Name extends string> =
  | { readonly kind: 'handlerFailed'; readonly method: Name; readonly cause: unknown }
  | { readonly kind: 'connectionCut'; readonly fault: SessionFault; readonly cause: unknown }
  /** There are too many, and each of them has calls under way. */
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
  const sessions = new Map<Session, Caller>()
  const memory = new CallMemory(limits.maxCallBytes, now)
  let calls = 0
  let leaving: Promise<void> | undefined
  const context: CallContext<Name> = {
    service,
    maxMessageBytes: limits.maxMessageBytes,
    bodyTimeoutMs: limits.bodyTimeoutMs,
    whenTurnEnds: turnEnds(),
    now,
    onCall,
    onBug(method, cause) {
      onFailure({ kind: 'handlerFailed', method, cause })
    },
  }

  function accept(socket: Socket): void {
    if (sessions.size >= limits.maxSessions && !endLongestIdle(sessions)) {
      socket.destroy()
      onFailure({ kind: 'connectionRefused', maxSessions: limits.maxSessions })
      return
    }
    const caller = new Caller(() => {
      session.cutFor('hoarding')
    })
    const session: Session = openSession(socket, {
      limits,
      onStream(stream, headers, isOversized) {
        // What befell a stream is told by its 'close'; without a listener an error would end the process.
        stream.on('error', ignore)
        const held = new HeldMemory(memory, caller)
        const refusal = isOversized ? HEADERS_TOO_LARGE : receive(context, { stream, held, headers })
        if (refusal !== undefined) {
          refuseUnread(stream, { held, refusal })
          return
        }
        calls += 1
        caller.lastCall = calls
      },
      onFault(fault, cause) {
        onFailure({ kind: 'connectionCut', fault, cause })
      },
    })
    sessions.set(session, caller)
    void session.closed.then(() => sessions.delete(session))
  }

  async function leave(): Promise<void> {
    const closed = new Promise<void>(resolve => {
      listener.close(() => {
        resolve()
      })
    })
    const left = [...sessions.keys()]
    for (const session of left) session.leave()
    await Promise.all([closed, ...left.map(session => session.closed)])
  }

  const listener = createServer(accept)
  return {
    listener,
    sessionCount: () => sessions.size,
    async drain({ timeoutMs }) {
      leaving ??= leave()
      const timer = setTimeout(() => {
        for (const session of sessions.keys()) session.cut()
      }, timeoutMs)
      await leaving
      clearTimeout(timer)
    },
  }
}

/**
 * Ends the connection that has been idle for longest; one that has never made a call goes before all that have.
 *
 * @returns whether there was one without calls under way.
 */
function endLongestIdle(sessions: Map<Session, Caller>): boolean {
  let longest: Session | undefined
  let lastCall = Infinity
  // From the oldest on.
  for (const [session, caller] of sessions) {
    if (caller.openCalls > 0 || caller.lastCall >= lastCall) continue
    longest = session
    lastCall = caller.lastCall
    if (lastCall === 0) break
  }
  if (longest === undefined) return false
  sessions.delete(longest)
  longest.cutFor('gaveWay')
  return true
}

/** Collects the calls that begin in one turn of the event loop. */
function turnEnds(): CallContext<string>['whenTurnEnds'] {
  let begun: { readonly linger: () => void }[] = []
  const lingerAll = (): void => {
    const all = begun
    begun = []
    for (const call of all) call.linger()
  }
  return call => {
    if (begun.push(call) === 1) setImmediate(lingerAll)
  }
}

/** @returns why it is not received, in words of gRPC, or a status of HTTP for what is no gRPC. */
function receive<Name extends string>(
  context: CallContext<Name>,
  {
    stream,
    held,
    headers,
  }: { readonly stream: ServerHttp2Stream; readonly held: HeldMemory; readonly headers: IncomingHttpHeaders },
): Refusal | number | undefined {
  const { ':method': httpMethod, ':path': path = '', 'content-type': contentType = '' } = headers
  if (httpMethod !== 'POST') return METHOD_NOT_ALLOWED
  if (!GRPC_CONTENT_TYPE.test(contentType)) return UNSUPPORTED_MEDIA_TYPE
  const method = context.service.methods.get(path)
  if (method === undefined) return UNKNOWN_METHOD
  const call = new ActiveCall(context, { stream, held, method })
  const timeout = headers['grpc-timeout']
  if (typeof timeout === 'string') call.limitTime(timeout)
  return undefined
}

function refuseUnread(
  stream: ServerHttp2Stream,
  { held, refusal }: { readonly held: HeldMemory; readonly refusal: Refusal | number },
): void {
  stream.on('data', wipe)
  stream.on('close', () => {
    held.release()
  })
  held.resize(0)
  held.waitForClient()
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
