import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2'
import { type Socket } from 'node:net'
import { hasErrorCode } from '@sealwright/system-error'
import { type UnaryLimits } from './limits.ts'

/** Why we ended a connection that its client had not ended. */
export type SessionFault =
  | 'noPreface' // it never said that it speaks HTTP/2
  | 'protocolError' // what came is no HTTP/2, or more of it than may be; `cause` says what
  | 'tooManyPings'
  | 'tooManySettings'
  | 'hoarding' // there was no memory left for calls, and its client had kept one waiting for longest
  | 'gaveWay' // there were too many, and it had been idle for longest

/** One connection. */
export interface Session {
  /**
   * Tells the client up to which call it is served here (GOAWAY), and ends when those have been answered. Later ones it repeats
   * elsewhere.
   */
  readonly leave: () => void
  /** Ends at once. */
  readonly cut: () => void
  /** The same, and tells `onFault` why. */
  readonly cutFor: (fault: 'hoarding' | 'gaveWay') => void
  /** Resolves when the connection is closed, and all its calls have ended. */
  readonly closed: Promise<void>
}

export interface SessionOptions {
  readonly limits: UnaryLimits
  /** @param isOversized - whether the list of headers is longer than it may be. */
  readonly onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, isOversized: boolean) => void
  /** At most once; the connection is closed with it. */
  readonly onFault: (fault: SessionFault, cause?: unknown) => void
}

/** How the system names a connection that its client has dropped. */
const CLIENT_HAS_GONE = ['ECONNRESET', 'EPIPE']
/**
 * nghttp2's number for a frame that may not come then. Each Go client ends with one: its GOAWAY names a stream of its own. Calls that
 * are lost by such a frame are reported as cancelled.
 */
const NGHTTP2_ERR_PROTO = -505

/** Speaks HTTP/2 on a connection, within the limits. */
export function openSession(socket: Socket, { limits, onStream, onFault }: SessionOptions): Session {
  const session = performServerHandshake(socket, http2Options(limits))
  let faulty = false
  let pings = 0
  let settings = 0

  function fail(fault: SessionFault, cause?: unknown): void {
    if (faulty) return
    faulty = true
    onFault(fault, cause)
    session.destroy(
      new Error(fault),
      fault === 'gaveWay' ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_ENHANCE_YOUR_CALM,
    )
    // Node would wait until the client has read all; one that is cut off may never read. GOAWAY has been tried by then.
    setImmediate(() => socket.destroy())
  }

  const prefaceTimer = setTimeout(() => {
    fail('noPreface')
  }, limits.prefaceTimeoutMs)
  session.on('remoteSettings', () => {
    clearTimeout(prefaceTimer)
    settings += 1
    if (settings > limits.maxFramesBetweenCalls) fail('tooManySettings')
  })
  session.on('ping', () => {
    pings += 1
    if (pings > limits.maxFramesBetweenCalls) fail('tooManyPings')
  })
  session.on('stream', (stream, headers, _flags, rawHeaders) => {
    pings = 0
    settings = 0
    onStream(stream, headers, sizeOf(rawHeaders) > limits.maxHeaderBytes)
  })
  session.on('error', cause => {
    if (!hasErrorCode(cause, ...CLIENT_HAS_GONE) && errnoOf(cause) !== NGHTTP2_ERR_PROTO) fail('protocolError', cause)
  })
  const closed = new Promise<void>(resolve => {
    session.on('close', () => {
      clearTimeout(prefaceTimer)
      resolve()
    })
  })

  return {
    leave() {
      session.close()
    },
    cut() {
      socket.destroy()
    },
    cutFor: fail,
    closed,
  }
}

function http2Options(limits: UnaryLimits): ServerOptions {
  return {
    maxSessionMemory: limits.maxSessionMegabytes,
    maxHeaderListPairs: limits.maxHeaderFields,
    settings: { maxConcurrentStreams: limits.maxConcurrentCalls, maxHeaderListSize: limits.maxHeaderBytes },
  }
}

/** Added to each field of a list of headers, RFC 9113, section 6.5.2. */
const FIELD_OVERHEAD_BYTES = 32

/**
 * Size of a list of headers. nghttp2 keeps the limit only towards clients that have acknowledged our settings.
 *
 * @param fields - names and values by turns.
 */
function sizeOf(fields: readonly string[]): number {
  let byteLength = (fields.length / 2) * FIELD_OVERHEAD_BYTES
  for (const text of fields) byteLength += text.length
  return byteLength
}

function errnoOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'errno' in error ? error.errno : undefined
}
