import { type AgentDirectory, prepareAgentDirectory } from './agent-directory.ts'
import { type ClientCertificate, parseClientCertificate } from './client-certificate.ts'
import { SealPluginError } from './errors.ts'
import { type SealPluginEvent } from './events.ts'
import { type KitPool, createKitPool } from './kit-pool.ts'
import { DEFAULT_LIMITS, type SealPluginLimits } from './limits.ts'
import { openRequestPipe } from './request-pipe.ts'
import { type SessionRequest } from './request-stream.ts'
import { type SealService } from './seal-service.ts'
import { type Session } from './session.ts'

/** Parameters of {@link serveSealPlugin}. */
export interface SealPluginOptions {
  /** The agent's folder, absolute, at most 63 bytes. Its parent exists, and belongs to nobody whom we do not trust. */
  readonly directory: string
  /** OpenBao's group, when OpenBao has another user than we. */
  readonly groupId?: number
  readonly service: SealService
  readonly onEvent: (event: SealPluginEvent) => void
  /** The program that makes FIFOs. */
  readonly mkfifoPath?: string
  readonly now: () => number
  readonly randomUuid: () => string
  readonly limits?: Partial<SealPluginLimits>
  /** Closes the server. */
  readonly signal: AbortSignal
}

/** What can be seen of a session. */
export interface SealPluginSession {
  readonly sessionId: string
  readonly clientFingerprint: string
  readonly openedAtMs: number
  readonly live: boolean
}

/** A running server. */
export interface SealPluginServer {
  sessions(): readonly SealPluginSession[]
  /** Ends every session with its connector. The request pipe stays: connectors wait on it for the next agent. */
  close(): Promise<void>
}

interface Waiting {
  readonly sessionId: string
  readonly client: ClientCertificate
  readonly askedAtMs: number
}

/**
 * Serves OpenBao's KMS plugin protocol to the connectors that ask in `directory`.
 *
 * Returns as soon as requests are read; certificates and the gRPC library are got ready behind that.
 *
 * @throws {@link SealPluginError} `SEAL_PLUGIN_PATH_INVALID`, `SEAL_PLUGIN_DIRECTORY_UNSAFE`,
 *   `SEAL_PLUGIN_DIRECTORY_IN_USE`, `SEAL_PLUGIN_FOREIGN_FILE`, `SEAL_PLUGIN_MKFIFO_FAILED`, `SEAL_PLUGIN_IO_FAILED`,
 *   `SEAL_PLUGIN_CLOSED`
 */
export async function serveSealPlugin(options: SealPluginOptions): Promise<SealPluginServer> {
  const { service, onEvent, now, randomUuid, signal, mkfifoPath = 'mkfifo' } = options
  const limits: SealPluginLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const directory = await prepareAgentDirectory({ path: options.directory, groupId: options.groupId, mkfifoPath })
  if (signal.aborted) throw new SealPluginError('SEAL_PLUGIN_CLOSED', 'closed before it served')

  const sessions = new Map<string, Session>()
  const waiting = new Map<string, Waiting>()
  const kits = openKitPool({ directory, mkfifoPath, limits, now, randomUuid, onEvent })
  let working: Promise<void> | undefined
  let closing: Promise<void> | undefined

  function take(request: SessionRequest): boolean {
    // A connector asks again while it waits; and an id is for one session.
    if (waiting.has(request.sessionId) || sessions.has(request.sessionId)) return true
    if (closing || waiting.size >= limits.maxWaitingRequests) return false
    const client = clientOf(request)
    if (client === null) return false
    waiting.set(request.sessionId, { sessionId: request.sessionId, client, askedAtMs: now() })
    working ??= work().finally(() => {
      working = undefined
    })
    return true
  }

  async function work(): Promise<void> {
    for (const request of waiting.values()) {
      try {
        await open(request)
      } catch (cause) {
        onEvent({ kind: 'requestRefused', sessionId: request.sessionId, cause })
      }
      waiting.delete(request.sessionId)
    }
  }

  async function open({ sessionId, client, askedAtMs }: Waiting): Promise<void> {
    makeRoom()
    const { openSession } = await import('./session.ts')
    const kit = await kits.take()
    const session = await openSession({
      ...{ sessionId, client, kit, directory, service, limits, now, randomUuid, onEvent },
      onLive: reportIfSecond,
      onEnd: ended => sessions.delete(ended.sessionId),
    })
    sessions.set(sessionId, session)
    onEvent({
      kind: 'sessionOpened',
      sessionId,
      clientFingerprint: client.fingerprint,
      handOverMs: now() - askedAtMs,
      openSessions: sessions.size,
    })
    if (closing) session.end('agentClosed')
  }

  function makeRoom(): void {
    if (sessions.size < limits.maxSessions) return
    const idle = [...sessions.values()].find(session => !session.isLive())
    if (idle === undefined) {
      throw new SealPluginError('SEAL_PLUGIN_REQUEST_INVALID', `all ${limits.maxSessions} sessions have a live host`)
    }
    idle.end('displaced')
  }

  function reportIfSecond({ sessionId }: Session): void {
    const others = [...sessions.values()].filter(other => other.isLive() && other.sessionId !== sessionId)
    if (others.length === 0) return
    onEvent({ kind: 'secondLiveSession', sessionId, otherSessionIds: others.map(other => other.sessionId) })
  }

  const requestPipe = openRequestPipe(directory.requestPipePath, {
    onRequest: take,
    onJunk: junk => {
      onEvent({ kind: 'junkDropped', ...junk })
    },
    onFailure: cause => {
      onEvent({ kind: 'internalFailure', during: 'reading requests', cause })
    },
  })

  async function closeAll(): Promise<void> {
    requestPipe.close()
    for (const session of sessions.values()) session.end('agentClosed')
    await working
    await kits.close()
  }

  const server: SealPluginServer = {
    sessions: () =>
      [...sessions.values()].map(session => ({
        sessionId: session.sessionId,
        clientFingerprint: session.clientFingerprint,
        openedAtMs: session.openedAtMs,
        live: session.isLive(),
      })),
    close: () => (closing ??= closeAll()),
  }
  signal.addEventListener('abort', () => void server.close(), { once: true })
  return server
}

function clientOf(request: SessionRequest): ClientCertificate | null {
  try {
    return parseClientCertificate(request.certificateDer)
  } catch (error) {
    if (error instanceof SealPluginError) return null
    throw error
  }
}

/** Loads what is heavy (gRPC, X.509) behind the start, not before it. */
function openKitPool(parameters: {
  readonly directory: AgentDirectory
  readonly mkfifoPath: string
  readonly limits: SealPluginLimits
  readonly now: () => number
  readonly randomUuid: () => string
  readonly onEvent: (event: SealPluginEvent) => void
}): KitPool {
  const { directory, mkfifoPath, limits, now, randomUuid, onEvent } = parameters
  return createKitPool({
    spareKits: limits.spareKits,
    now,
    async make(count) {
      const [{ makeSessionKits }] = await Promise.all([import('./session-kit.ts'), import('./session.ts')])
      return makeSessionKits(count, { directory, mkfifoPath, now, randomUuid })
    },
    onFailure: cause => {
      onEvent({ kind: 'internalFailure', during: 'preparing sessions', cause })
    },
  })
}
