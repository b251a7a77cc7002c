import { constants, type ServerHttp2Stream } from 'node:http2'
import { type HeldMemory } from './call-memory.ts'
import { RequestReader } from './frame.ts'
import { parseGrpcTimeout } from './grpc-timeout.ts'
import { type CallReport, type UnaryCall, type UnaryMethod, type UnaryService } from './method.ts'
import { GRPC_STATUS, type GrpcStatusName, percentEncode, type Refusal } from './status.ts'

/** What all calls of a server share. */
export interface CallContext<Name extends string> {
  readonly service: UnaryService<Name>
  readonly maxMessageBytes: number
  readonly bodyTimeoutMs: number
  /** Calls `linger` of the call once all has been handled that was read with its headers. */
  readonly whenTurnEnds: (call: { readonly linger: () => void }) => void
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly onCall: ((report: CallReport<Name>) => void) | undefined
  /** A handler threw what its service has no refusal for. */
  readonly onBug: (method: Name, cause: unknown) => void
}

const OK_HEADERS = { ':status': 200, 'content-type': 'application/grpc' }
const OK_TRAILERS = { 'grpc-status': String(GRPC_STATUS.OK) }
const WITH_TRAILERS = { waitForTrailers: true, sendDate: false }
const WITHOUT_BODY = { endStream: true, sendDate: false }
/** No call can be answered in less. A timer waits a millisecond at least. */
const MIN_TIME_MS = 0.1
/** A longer delay would be taken for none at all (24.8 days). */
const MAX_TIMER_MS = 2 ** 31 - 1

const BUG: Refusal = { status: 'INTERNAL', message: 'the KMS plugin failed; its own log says why' }
const BAD_TIMEOUT: Refusal = { status: 'INVALID_ARGUMENT', message: 'grpc-timeout is malformed' }
const NO_ROOM: Refusal = {
  status: 'RESOURCE_EXHAUSTED',
  message: 'too many calls are under way: there is no memory left',
}
const EXPIRED: Refusal = { status: 'DEADLINE_EXCEEDED', message: 'no answer before the deadline of the call' }

/** One call, from its headers to its answer, or to its caller's leaving. */
export class ActiveCall<Name extends string> implements UnaryCall {
  readonly #context: CallContext<Name>
  readonly #stream: ServerHttp2Stream
  readonly #method: UnaryMethod<Name>
  readonly #startedAtMs: number
  readonly #held: HeldMemory
  readonly #reader: RequestReader
  /** Whether the request has come to its end. */
  #isWhole = false
  /** Since the turn is over in which its headers came, and its request is not there. */
  #isLingering = false
  #bodyTimer: NodeJS.Timeout | undefined
  #timer: NodeJS.Timeout | undefined
  #aborter: AbortController | undefined
  #state: 'open' | 'answered' | 'abandoned' = 'open'

  constructor(
    context: CallContext<Name>,
    { stream, held, method }: { stream: ServerHttp2Stream; held: HeldMemory; method: UnaryMethod<Name> },
  ) {
    this.#context = context
    this.#stream = stream
    this.#held = held
    this.#method = method
    this.#startedAtMs = context.onCall === undefined ? 0 : context.now()
    this.#reader = new RequestReader(context.maxMessageBytes)
    stream.on('data', (part: Uint8Array) => {
      this.#take(part)
    })
    stream.on('end', () => {
      this.#isWhole = true
      this.#handle()
    })
    stream.on('close', () => {
      this.#callerHasGone()
    })
    if (held.resize(0)) context.whenTurnEnds(this)
    else this.#refuse(NO_ROOM)
  }

  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      this.#aborter = new AbortController()
      if (this.#state === 'abandoned') this.#aborter.abort()
    }
    return this.#aborter.signal
  }

  /** Ends the call when the time in its header `grpc-timeout` is over. */
  limitTime(header: string): void {
    if (this.#state !== 'open') return
    const timeoutMs = parseGrpcTimeout(header)
    if (timeoutMs === null) this.#refuse(BAD_TIMEOUT)
    else if (timeoutMs < MIN_TIME_MS) this.#expire()
    else this.#timer = setTimeout(this.#expire, Math.min(timeoutMs, MAX_TIMER_MS))
  }

  /** Most requests have come to their end by now; this one takes care of one that has not. */
  linger(): void {
    if (this.#state !== 'open' || this.#isWhole) return
    this.#isLingering = true
    this.#reader.own()
    this.#held.waitForClient()
    const { bodyTimeoutMs } = this.#context
    this.#bodyTimer = setTimeout(() => {
      this.#refuse(unfinished(bodyTimeoutMs))
    }, bodyTimeoutMs)
  }

  #take(part: Uint8Array): void {
    if (this.#state !== 'open') {
      part.fill(0)
      return
    }
    const refusal = this.#reader.push(part)
    if (this.#isLingering) this.#reader.own()
    if (refusal !== undefined) this.#refuse(refusal)
    else if (!this.#held.resize(this.#reader.heldBytes)) this.#refuse(NO_ROOM)
  }

  #handle(): void {
    if (this.#state !== 'open') return
    clearTimeout(this.#bodyTimer)
    if (this.#isLingering) this.#held.clientHasCome()
    const message = this.#reader.end()
    if (!(message instanceof Uint8Array)) {
      this.#refuse(message)
      return
    }
    try {
      const frame = this.#method.handle(message, this)
      if (frame instanceof Uint8Array) this.#answer(frame)
      else frame.then(this.#answer, this.#fail)
    } catch (error) {
      this.#fail(error)
    }
  }

  readonly #answer = (frame: Uint8Array): void => {
    const { answersWithSecret } = this.#method
    if (!this.#finish('answered')) {
      if (answersWithSecret) frame.fill(0)
      return
    }
    const stream = this.#stream
    stream.on('wantTrailers', sendOkTrailers)
    stream.respond(OK_HEADERS, WITH_TRAILERS)
    if (answersWithSecret) stream.end(frame, () => frame.fill(0))
    else stream.end(frame)
    this.#held.resize(frame.byteLength)
    this.#report('OK')
  }

  readonly #fail = (cause: unknown): void => {
    const refusal = this.#context.service.refusalOf(cause)
    if (refusal === null) this.#context.onBug(this.#method.name, cause)
    this.#refuse(refusal ?? BUG, cause)
  }

  /** Answers without a message. Does nothing when the call is over. */
  #refuse(refusal: Refusal, cause?: unknown): void {
    if (!this.#finish('answered')) return
    sendRefusal(this.#stream, refusal)
    this.#held.resize(0)
    this.#report(refusal.status, cause)
  }

  readonly #expire = (): void => {
    if (!this.#finish('abandoned')) return
    sendRefusal(this.#stream, EXPIRED)
    this.#held.resize(0)
    this.#report(EXPIRED.status)
    this.#aborter?.abort()
  }

  #callerHasGone(): void {
    this.#held.release()
    if (!this.#finish('abandoned')) return
    this.#aborter?.abort()
    this.#report('CANCELLED')
  }

  /** @returns whether it was not over yet, and can still be answered. */
  #finish(state: 'answered' | 'abandoned'): boolean {
    if (this.#state !== 'open') return false
    // A caller that has gone is seen here before its 'close' comes, which then reports it.
    if (state === 'answered' && isClosed(this.#stream)) return false
    this.#state = state
    clearTimeout(this.#timer)
    clearTimeout(this.#bodyTimer)
    this.#reader.wipe()
    // What is left is for the client to take.
    if (!isClosed(this.#stream)) this.#held.waitForClient()
    return true
  }

  #report(status: GrpcStatusName, cause?: unknown): void {
    const { onCall, now } = this.#context
    onCall?.({
      method: this.#method.name,
      status,
      durationMs: now() - this.#startedAtMs,
      cause,
    })
  }
}

function unfinished(bodyTimeoutMs: number): Refusal {
  return { status: 'DEADLINE_EXCEEDED', message: `the request did not come to its end within ${bodyTimeoutMs} ms` }
}

/** Answers with a status alone, in one header block, and wants no more of the request. */
export function sendRefusal(stream: ServerHttp2Stream, { status, message }: Refusal): void {
  endWith(stream, {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-accept-encoding': 'identity',
    'grpc-status': String(GRPC_STATUS[status]),
    'grpc-message': percentEncode(message),
  })
}

/** Answers what is not gRPC, in words of HTTP. */
export function sendHttpStatus(stream: ServerHttp2Stream, httpStatus: number): void {
  endWith(stream, { ':status': httpStatus })
}

function endWith(stream: ServerHttp2Stream, headers: Readonly<Record<string, string | number>>): void {
  if (isClosed(stream)) return
  stream.respond(headers, WITHOUT_BODY)
  // RFC 9113, section 8.1: tells the client to stop sending, and does not void the answer.
  if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR)
}

function isClosed(stream: ServerHttp2Stream): boolean {
  return stream.closed || stream.destroyed
}

function sendOkTrailers(this: ServerHttp2Stream): void {
  this.sendTrailers(OK_TRAILERS)
}
