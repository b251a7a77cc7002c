import { constants } from 'node:crypto'
import { chmodSync, rmSync } from 'node:fs'
import { type Socket } from 'node:net'
import { type TLSSocket, createServer } from 'node:tls'
import { once } from 'node:events'
import { type AgentDirectory } from './agent-directory.ts'
import { type ClientCertificate } from './client-certificate.ts'
import { type SealPluginEvent, type SessionEnd } from './events.ts'
import { type SealPluginLimits } from './limits.ts'
import { type SealService } from './seal-service.ts'
import { type SessionKit } from './session-kit.ts'
import { createSessionServer } from './session-server.ts'
import { createWrapperCalls } from './wrapper-calls.ts'

/** `core protocol | application protocol`, go-plugin's handshake line. */
const PROTOCOL_VERSIONS = '1|1'
const TLS_HANDSHAKE_TIMEOUT_MS = 5000
/** From the answer to a Shutdown to the end of the connection: the answer must get through. */
const SHUTDOWN_GRACE_MS = 20

/** One connector, one socket, one certificate, one host. */
export interface Session {
  readonly sessionId: string
  readonly clientFingerprint: string
  readonly openedAtMs: number
  /** Whether its host is there. */
  isLive(): boolean
  /** Ends host connection and connector, and removes socket and pipe. Again is harmless. */
  end(reason: SessionEnd): void
}

/**
 * Opens the socket of a session, and hands its line to the connector that asked.
 *
 * Takes over `kit`, also when it throws.
 */
export async function openSession(parameters: {
  readonly sessionId: string
  readonly client: ClientCertificate
  readonly kit: SessionKit
  readonly directory: AgentDirectory
  readonly service: SealService
  readonly limits: SealPluginLimits
  readonly now: () => number
  readonly randomUuid: () => string
  readonly onEvent: (event: SealPluginEvent) => void
  /** The session's host has come. */
  readonly onLive: (session: Session) => void
  readonly onEnd: (session: Session) => void
}): Promise<Session> {
  const { sessionId, client, kit, directory, service, limits, now, randomUuid, onEvent } = parameters
  const openedAtMs = now()
  const socketPath = directory.socketPath(kit.name)
  const connections = new Set<Socket>()
  let hostStreams = 0
  let state: 'awaitingHost' | 'live' | 'ended' = 'awaitingHost'
  let shutdownTimer: NodeJS.Timeout | undefined

  const grpc = createSessionServer({
    sessionId,
    calls: createWrapperCalls({ service, randomUuid, maxInstances: limits.maxInstancesPerSession }),
    limits,
    now,
    hooks: {
      onEvent,
      onHostStream() {
        hostStreams += 1
        becomeLive()
        let open = true
        return () => {
          if (!open) return
          open = false
          hostStreams -= 1
          if (hostStreams === 0) session.end('hostLost')
        }
      },
      onShutdown() {
        shutdownTimer ??= setTimeout(() => {
          session.end('shutdown')
        }, SHUTDOWN_GRACE_MS)
      },
    },
  })

  const listener = createServer({
    key: kit.certificate.privateKeyPem,
    cert: kit.certificate.certificatePem,
    // The only one that is trusted: no other program has its private key.
    ca: client.pem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
    // One host, one connection: nothing is there to be resumed.
    secureOptions: constants.SSL_OP_NO_TICKET,
    handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
  })
  listener.maxConnections = limits.maxConnectionsPerSession
  listener.on('connection', (connection: Socket) => {
    connections.add(connection)
    connection.on('close', () => {
      connections.delete(connection)
      if (state === 'live' && connections.size === 0) session.end('hostLost')
    })
  })
  listener.on('tlsClientError', cause => {
    if (state !== 'ended') onEvent({ kind: 'handshakeRefused', sessionId, cause })
  })
  listener.on('secureConnection', (connection: TLSSocket) => {
    // Its end is noticed by 'close'; without a listener an error would end the process.
    connection.on('error', () => connection.destroy())
    if (connection.alpnProtocol !== 'h2') {
      if (state !== 'ended')
        onEvent({ kind: 'handshakeRefused', sessionId, cause: new Error('the client does not offer h2') })
      connection.destroy()
      return
    }
    grpc.accept(connection)
  })

  const hostTimer = setTimeout(() => {
    session.end('hostAbsent')
  }, limits.hostTimeoutMs)

  function becomeLive(): void {
    if (state !== 'awaitingHost') return
    state = 'live'
    clearTimeout(hostTimer)
    onEvent({ kind: 'hostConnected', sessionId, afterMs: now() - openedAtMs })
    parameters.onLive(session)
  }

  function release(): void {
    clearTimeout(hostTimer)
    clearTimeout(shutdownTimer)
    // First, so that the connector ends no later than its host's connection.
    kit.replyPipe.close()
    grpc.close()
    if (listener.listening) listener.close()
    for (const connection of connections) connection.destroy()
    rmSync(socketPath, { force: true })
  }

  const session: Session = {
    sessionId,
    clientFingerprint: client.fingerprint,
    openedAtMs,
    isLive: () => state === 'live',
    end(reason) {
      if (state === 'ended') return
      state = 'ended'
      release()
      const atShutdown = shutdownTimer !== undefined && reason === 'hostLost'
      onEvent({
        kind: 'sessionEnded',
        sessionId,
        reason: atShutdown ? 'shutdown' : reason,
        lastedMs: now() - openedAtMs,
      })
      parameters.onEnd(session)
    },
  }

  try {
    listener.listen({ path: socketPath })
    await once(listener, 'listening')
    chmodSync(socketPath, directory.socketMode)
    // go-plugin decodes without padding (Go's RawStdEncoding).
    const certificate = kit.certificate.certificateDer.toString('base64').replaceAll('=', '')
    await kit.replyPipe.handOver(sessionId, `${PROTOCOL_VERSIONS}|unix|${socketPath}|grpc|${certificate}`)
  } catch (cause) {
    state = 'ended'
    release()
    throw cause
  }
  return session
}
