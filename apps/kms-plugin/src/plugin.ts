import { type Logger } from 'pino'
import { kmsBackend } from '@sealwright/kms-backends'
import { type KmsConfig } from '@sealwright/kms-config'
import { KmsError, kmsV2Service } from '@sealwright/kms-v2'
import { serveKmsV2 } from '@sealwright/kms-v2-server'
import { type KeyWatch, keyWatch } from './key-watch.ts'
import { keyMemory, rememberedLife } from './memory.ts'
import { pluginMetrics } from './metrics.ts'
import { pluginReporter } from './report.ts'
import { stateFile } from './state-file.ts'
import { openStatusApi } from './status-api.ts'
import { untilAborted } from './until-aborted.ts'
import { listenOnUnixSocket } from '@sealwright/unix-socket'

export interface PluginOptions {
  readonly config: KmsConfig
  readonly pkcs11Program: { readonly command: string; readonly args: readonly string[] }
  readonly log: Logger
  /** Ends the plugin: calls under way are answered first. */
  readonly signal: AbortSignal
  /** Called once with what an operator does who has mended something: seals that waited for that are tried again. */
  readonly onReload?: (reload: () => void) => void
}

/** How long an Encrypt waits for the first look: then it is refused in our words, before kube-apiserver gives up in its own. */
const FIRST_LOOK_WAIT_MS = 2_000
/** How long calls that are under way may take at the end. */
const DRAIN_TIMEOUT_MS = 5_000

/**
 * Serves Kubernetes KMS v2 until `signal` is aborted.
 *
 * The socket is there as soon as the key is known: from an earlier run, or from a first look at the backend that has passed. After that
 * no outage of the backend takes it away.
 *
 * @throws {KmsPluginError}, {UnixSocketError}, {TransitError} before it serves.
 */
export async function runPlugin({ config, pkcs11Program, log, signal, onReload }: PluginOptions): Promise<void> {
  const report = pluginReporter(log, Date.now)
  const metrics = pluginMetrics()
  await using resources = new AsyncDisposableStack()
  const backend = resources.use(
    await kmsBackend(config.backend, {
      pkcs11Program,
      onKeyringEvent: event => {
        report.keyring(event)
        metrics.countKeyringEvent(event)
      },
    }),
  )

  const file = stateFile(config.stateDirectory, Date.now)
  const found = await file.read()
  report.stateFound(found)
  const owner = { clusterId: config.clusterId, provider: backend.provider }
  const known = rememberedLife(found, owner)
  const memory = keyMemory(file, owner, failure => {
    metrics.setStateWritten(failure === null)
    if (failure !== null) report.stateNotWritten(failure)
  })
  metrics.setStateWritten(known !== null)
  if (known !== null) metrics.setLife(known)

  const watch = keyWatch({
    ...{ backend, clusterId: config.clusterId, probe: config.probe, rotation: config.rotation, known },
    ...{ now: Date.now, steadyNow: () => performance.now() },
    onEvent: event => {
      report.watch(event)
      switch (event.kind) {
        case 'probe-passed':
          metrics.countProbe('passed')
          memory.tryAgain()
          return
        case 'probe-failed':
          metrics.countProbe('failed')
          return
        case 'probe-doubted':
        case 'newest-failed':
          return
        case 'life-changed':
          metrics.setLife(event.life)
          memory.remember(event.life)
      }
    },
  })
  const service = kmsV2Service({
    ...{ backend, clusterId: config.clusterId, life: watch.life, hasLooked: watch.hasLooked },
    ...{ lookEnds: firstLookOf(watch), illness: watch.illness },
    onSurprise: watch.lookNow,
  })
  const healthz = (): string => {
    try {
      return service.status().healthz
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
      if (error.code === 'KMS_NOT_READY') return watch.illness() ?? `${error.code}: ${error.message}`
      return error.message
    }
  }
  let isServing = false
  const readyz = (): string => {
    const health = healthz()
    return health === 'ok' && !isServing ? 'KMS_NOT_READY: the socket is not there yet, or no more' : health
  }
  resources.use(
    await openStatusApi({
      path: config.statusSocket,
      onFailure: report.statusFailed,
      readyz,
      metrics: {
        contentType: metrics.contentType,
        text: () => {
          const lastPassedAtMs = watch.lastPassedAtMs()
          metrics.setHealth({
            isHealthy: healthz() === 'ok',
            probeAgeMs: lastPassedAtMs === null ? null : performance.now() - lastPassedAtMs,
          })
          return metrics.text()
        },
      },
    }),
  )

  onReload?.(() => {
    log.info('told to try again what waited for an operator')
    backend.reload?.()
    watch.lookNow()
  })
  const stopped = new AbortController()
  const watching = watch.run(stopped.signal)
  resources.defer(async () => {
    stopped.abort()
    await watching
    await memory.settled()
  })
  const toldToStop = untilAborted(signal)
  await Promise.race([watch.whenKnown, toldToStop])
  if (signal.aborted) return
  const { path, mode, userId, groupId } = config.socket
  const server = await serveKmsV2({
    ...{ service, path, mode, now: () => performance.now() },
    // Seeds come over it in clear.
    listen: (listener, options) => listenOnUnixSocket(listener, { ...options, closedFolder: true }),
    ...(userId === undefined && groupId === undefined
      ? {}
      : { owner: { ...(userId === undefined ? {} : { userId }), ...(groupId === undefined ? {} : { groupId }) } }),
    onCall: call => {
      metrics.countCall(call)
      if (call.cause !== undefined) report.callFailed(call.method, call.cause)
    },
    onFailure: report.serverFailed,
  })
  isServing = true
  log.info({ path }, 'serves')
  await toldToStop
  isServing = false
  log.info('stops')
  await server.drain({ timeoutMs: DRAIN_TIMEOUT_MS })
}

function firstLookOf(watch: KeyWatch): (signal: AbortSignal) => Promise<void> {
  return async signal => {
    await watch.lookEnds(AbortSignal.any([signal, AbortSignal.timeout(FIRST_LOOK_WAIT_MS)]))
  }
}
