import { type Clock } from '../auth/clock.ts'
import { OpenBaoError } from '../error.ts'
import { isConnectTimeout } from '../failure.ts'
import { type ReopeningTransport } from '../reopening-transport.ts'
import { type Answer, type Request } from '../transport.ts'

/** How long one knock waits for an answer. */
const KNOCK_TIMEOUT_MS = 2_000
/** How many times we look, within the patience, whether anything was heard. */
const LOOKS = 8
/** Pauses between knocks at a node that keeps silent; each knock has a connection of its own. */
const KNOCK_PAUSE_MS = 250
const LATER_KNOCK_PAUSE_MS = 1_000
/** From when on it is knocked more seldom. */
const LATER_MS = 60_000
/** Any of them says that somebody is there, sealed or not. */
const HEALTH_STATUSES = [200, 429, 472, 473, 501, 503] as const

export interface WatchedNodeOptions {
  readonly address: string
  readonly transport: ReopeningTransport
  /** For knocks: connections that no hanging call occupies. */
  readonly knocker: ReopeningTransport
  readonly clock: Clock
  /** How long nothing may be heard of the node while something is waited for, until it counts as silent. */
  readonly patienceMs: number
  readonly onSilence: (isSilent: boolean) => void
}

export interface Attempt {
  /** What is left of the time for the whole call. */
  readonly timeoutMs: number
  /** Nobody else is left to ask: the node may take all of that, as long as it gives a sign of life. */
  readonly isLast: boolean
}

/** One address, of which it is known at any time whether anybody answers there. */
export interface WatchedNode {
  readonly address: string
  /** Since when nothing was heard although something was waited for; undefined if that is not so. */
  readonly silentSinceMs: () => number | undefined
  /**
   * Sends once. A node that keeps silent is given up after the patience, not after the whole time: `OPENBAO_TIMEOUT`, for this call and all
   * others that wait for it. From then on it is knocked at, so that it is known within moments that it is back.
   *
   * A node that is only slow keeps its calls, unless somebody else can be asked.
   */
  readonly send: (request: Request, attempt: Attempt) => Promise<Answer>
  /** Ends all connections and all knocking. */
  readonly close: () => Promise<void>
}

/** Says why a call was ended: by us, and not by its caller. */
const GIVEN_UP = Symbol('given up')

/** A call that waits. */
interface Waiting {
  readonly startedMs: number
  readonly isLast: boolean
  readonly giveUp: () => void
}

/** Watches one node. Nothing is sent before the first call. */
export function watchNode(options: WatchedNodeOptions): WatchedNode {
  const { address, transport, knocker, clock, patienceMs, onSilence } = options
  const closing = new AbortController()
  /** The oldest first. */
  const waiting = new Set<Waiting>()
  let heardMs = -Infinity
  let hasKnocked = false
  let isLooking = false
  let silentSinceMs: number | undefined
  let cancelKnock = (): void => undefined

  const heard = (): void => {
    heardMs = clock.nowMs()
    hasKnocked = false
    if (silentSinceMs === undefined) return
    silentSinceMs = undefined
    cancelKnock()
    onSilence(false)
  }

  const knock = (): void => {
    const call = { signal: closing.signal, timeoutMs: KNOCK_TIMEOUT_MS }
    const request = { method: 'GET', path: 'sys/health', call, expected: HEALTH_STATUSES } as const
    knocker.send(request).then(heard, (error: unknown) => {
      if (!isNoSign(error)) heard()
    })
  }

  const keepKnocking = (): void => {
    if (silentSinceMs === undefined || closing.signal.aborted) return
    knock()
    const isLate = clock.nowMs() - silentSinceMs >= LATER_MS
    cancelKnock = clock.after(isLate ? LATER_KNOCK_PAUSE_MS : KNOCK_PAUSE_MS, keepKnocking)
  }

  const fallSilent = (): void => {
    silentSinceMs = clock.nowMs()
    // Connections that are half open, or half way through a handshake, must not be waited for once it is back.
    transport.reopen()
    for (const { giveUp } of [...waiting]) giveUp()
    onSilence(true)
    keepKnocking()
  }

  /** Looks a few times within the patience, for as long as somebody waits: one timer for all, and none for a call that is answered soon. */
  const keepLooking = (): void => {
    if (isLooking) return
    isLooking = true
    clock.after(patienceMs / LOOKS, () => {
      isLooking = false
      look()
      if (waiting.size > 0) keepLooking()
    })
  }

  const look = (): void => {
    const [oldest] = waiting
    if (oldest === undefined) return
    const nowMs = clock.nowMs()
    const quietMs = nowMs - Math.max(heardMs, oldest.startedMs)
    if (quietMs >= patienceMs && hasKnocked) {
      fallSilent()
    } else if (quietMs >= patienceMs / 2 && !hasKnocked) {
      // Never silent by one look alone: it may be our own process that stood still, with the answer waiting to be read.
      hasKnocked = true
      knock()
    }
    for (const { startedMs, isLast, giveUp } of [...waiting]) {
      if (!isLast && nowMs - startedMs >= patienceMs) giveUp()
    }
  }

  const send: WatchedNode['send'] = async (request, { timeoutMs, isLast }) => {
    const { call } = request
    const attempt = new AbortController()
    const leave = (): void => {
      attempt.abort(call.signal.reason)
    }
    const giveUp = (): void => {
      attempt.abort(GIVEN_UP)
    }
    const entry = { startedMs: clock.nowMs(), isLast, giveUp }
    waiting.add(entry)
    keepLooking()
    call.signal.addEventListener('abort', leave, { once: true })
    if (call.signal.aborted) leave()
    try {
      const answer = await transport.send({ ...request, call: { ...call, signal: attempt.signal, timeoutMs } })
      heard()
      return answer
    } catch (error) {
      if (attempt.signal.reason === GIVEN_UP) {
        const why = `${request.method} ${request.path}: no answer within ${patienceMs} ms`
        throw new OpenBaoError('OPENBAO_TIMEOUT', why, { cause: error })
      }
      if (!isNoSign(error)) heard()
      throw error
    } finally {
      waiting.delete(entry)
      call.signal.removeEventListener('abort', leave)
    }
  }

  return {
    address,
    silentSinceMs: () => silentSinceMs,
    send,
    close: async () => {
      closing.abort()
      cancelKnock()
      await Promise.all([transport.close(), knocker.close()])
    },
  }
}

/** Whether a failure says nothing about the node. Whatever else it is, an answer or a refusal, came from somewhere. */
function isNoSign(error: unknown): boolean {
  if (!(error instanceof OpenBaoError)) return true
  switch (error.code) {
    case 'OPENBAO_TIMEOUT':
    case 'OPENBAO_CANCELLED':
    case 'OPENBAO_CREDENTIAL_UNREADABLE':
      return true
    case 'OPENBAO_UNREACHABLE':
      return isConnectTimeout(error)
    case 'OPENBAO_ADDRESS_INVALID':
    case 'OPENBAO_REQUEST_INVALID':
    case 'OPENBAO_TLS':
    case 'OPENBAO_CONNECTION_CUT':
    case 'OPENBAO_SEALED':
    case 'OPENBAO_PERMISSION_DENIED':
    case 'OPENBAO_REDIRECTED':
    case 'OPENBAO_RATE_LIMITED':
    case 'OPENBAO_NOT_FOUND':
    case 'OPENBAO_BAD_REQUEST':
    case 'OPENBAO_STATUS':
    case 'OPENBAO_RESPONSE_MALFORMED':
    case 'OPENBAO_RESPONSE_TOO_LARGE':
    case 'OPENBAO_LOGIN_REFUSED':
    case 'OPENBAO_SECRET_ID_REFUSED':
      return false
  }
}
