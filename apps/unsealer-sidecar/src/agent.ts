import { randomBytes, randomUUID } from 'node:crypto'
import { type RequestListener } from 'node:http'
import { hostname } from 'node:os'
import { type Logger } from 'pino'
import { type AuditEvent } from '@sealwright/audit'
import { openAuditLog } from '@sealwright/audit-log'
import { agentLock, type AgentLock, type SealContext } from '@sealwright/node-seals'
import { type NodeConfig } from '@sealwright/node-config'
import { type SealPluginServer, serveSealPlugin } from '@sealwright/seal-plugin'
import { StoreError } from '@sealwright/seal-store'
import { createBell } from './bell.ts'
import { runBeside } from './beside.ts'
import { callerOf } from './control/caller.ts'
import { openControlSocket } from './control/control-socket.ts'
import { viewSeals, viewStatus } from './control/status.ts'
import { keyringCustody } from './keyring/custody.ts'
import { auditedOperations, whoIs } from './operations/audited.ts'
import { sealOperations } from './operations/operations.ts'
import { configReload } from './operations/reload.ts'
import { keepTending } from './keyring/tending.ts'
import { localSeals } from './local-seals.ts'
import { joinGuard } from './openbao/join-guard.ts'
import { leaderKey } from './openbao/leader-key.ts'
import { keepLearning } from './openbao/learn.ts'
import { sealService } from './openbao/seal-service.ts'
import { type OpenBaoWatch } from './openbao/watch.ts'
import { auditTrail } from './report/audit-trail.ts'
import { auditVouching } from './report/audit-vouching.ts'
import { keyNeedOf } from './static-delivery/key-need.ts'
import { runStaticDelivery } from './static-delivery/run.ts'
import { agentReporter } from './report/log.ts'
import { keyringNumbers } from './report/keyring-metrics.ts'
import { agentMetrics } from './report/metrics.ts'

export interface AgentOptions {
  readonly config: NodeConfig
  /** Reads the configuration again. Of it only the seals and the id of the cluster are taken while the agent runs. */
  readonly loadConfig: () => Promise<NodeConfig>
  readonly version: string
  readonly pkcs11Program: SealContext['pkcs11Program']
  readonly log: Logger
  /** Ends the agent. */
  readonly signal: AbortSignal
  /** Called once with the function that makes the agent try seals again that waited for an operator. */
  readonly onReload: (reload: () => void) => void
}

/**
 * Runs the seal agent until `signal` is aborted: opens the keyring, serves OpenBao, answers on the control socket.
 *
 * It ends with an error only before it serves (a second agent on the store, a socket that is taken), or for a bug before
 * a seal has opened. A seal that does not open is no reason to end, nor is an OpenBao that cannot be asked.
 */
export async function runAgent({
  config,
  loadConfig,
  version,
  pkcs11Program,
  log,
  signal,
  onReload,
}: AgentOptions): Promise<void> {
  const startedAt = new Date().toISOString()
  // Disposed of in reverse order, however the agent ends: the store is unlocked last.
  await using resources = new AsyncDisposableStack()
  const lock = resources.use(agentLock(config.store))
  await refuseSecondAgent(lock, signal)

  const report = agentReporter(log, Date.now)
  const metrics = agentMetrics(Date.now)
  const seals = resources.use(localSeals(config, { pkcs11Program }))
  const audit = resources.use(
    openAuditLog({
      ...{ directory: config.agent.auditDirectory, node: hostname(), now: Date.now },
      onFailure: error => {
        report.auditNotWritten(error)
      },
    }),
  )
  const append = (event: AuditEvent): void => {
    audit.append(event)
  }
  append({ kind: 'agent-started', version, pid: process.pid })
  resources.defer(() => {
    append({ kind: 'agent-stopped', reason: 'told to' })
  })
  const trail = auditTrail({
    append,
    sealType: name => seals.configured().find(seal => seal.name === name)?.type ?? 'unknown',
    generation: () => custody.holder.held()?.key.current.number ?? 0,
  })
  const vouch = auditVouching(audit)
  const tendingBell = createBell()
  const custody = keyringCustody({
    storePath: config.store,
    lock,
    clusterId: seals.clusterId,
    seals: seals.enabled,
    opening: { opensStaticBlobs: config.agent.sealType === 'static' },
    onChanged: keyring => {
      trail.keyring(keyring)
      vouch(custody.holder.held()?.key)
      metrics.setKeyring(keyringNumbers(keyring))
      tendingBell.ring()
    },
    onRecordLost: () => {
      tendingBell.ring()
    },
    onAttempt: attempt => {
      trail.attempt(attempt)
    },
    onStored: revision => {
      append({ kind: 'keyring-stored', revision })
    },
    ...{ metrics, report, log, signal },
  })
  const { holder } = custody
  const leader = leaderKey({
    held: () => holder.held()?.key,
    now: Date.now,
    onRefused: refused => {
      report.leaderKeyRefused(refused)
    },
  })
  const operations = resources.use(
    auditedOperations(
      sealOperations({
        ...{ custody, configured: seals.configured, seals: seals.enabled },
        reload: configReload({
          ...{ loadConfig, seals, log },
          startAfresh: () => {
            report.startAfresh()
          },
          tryAgain: () => {
            custody.startAfresh()
          },
          tend: () => {
            tendingBell.ring()
          },
        }),
      }),
      append,
    ),
  )
  onReload(() => {
    // Of a signal nobody hears how it ended: that was logged.
    void Promise.allSettled([operations.reload({ tend: true, caller: callerOf() })])
  })

  // The control socket answers before OpenBao is served.
  let listSessions: SealPluginServer['sessions'] = () => []
  const countSessions = (): number => listSessions().filter(session => session.live).length

  // Loaded once the agent serves: an HTTP client takes longer to load than a TPM to open.
  const openBao = lazyOpenBaoWatch(config.openbao)
  resources.use(openBao)
  const guard = joinGuard({
    ask: async callSignal =>
      (await (await openBao.load())?.membership(callSignal)) ?? { kind: 'unknown', reason: NO_OPENBAO_CONFIGURED },
    steadyNow: () => performance.now(),
    signal,
  })

  const loadApi = async (): Promise<RequestListener> => {
    const [{ controlApi }, watch] = await Promise.all([import('./control/control-api.ts'), openBao.load()])
    const api = controlApi({
      status: async callSignal =>
        viewStatus({
          ...{ version, pid: process.pid, startedAt, store: config.store },
          held: holder.held(),
          refusedKeyring: leader.refused(),
          seals: viewSeals(seals.configured(), holder),
          sessions: countSessions(),
          openbao: (await watch?.view(callSignal)) ?? { state: 'not-configured' },
        }),
      probe: async callSignal => {
        await holder.probe(AbortSignal.any([callSignal, signal]))
        return viewSeals(seals.configured(), holder)
      },
      operations,
      isOpen: () => holder.held() !== undefined,
      onCalled: ({ caller, ...call }) => {
        append({ kind: 'control-called', ...call, ...whoIs(caller) })
      },
      metrics: {
        contentType: metrics.contentType,
        text: () => {
          metrics.setSessions(countSessions())
          metrics.setKeyringRefused(leader.refused() !== undefined)
          return metrics.text()
        },
      },
      onFailure: error => {
        report.internalFailure('answering the control API', error)
      },
    })
    await api.ready()
    return (request, response) => {
      api.routing(request, response)
    }
  }

  // All that may already be taken is taken first: an agent that must not run never asks a TPM.
  resources.use(
    await openControlSocket({
      path: config.agent.controlSocket,
      loadApi,
      onFailure: error => {
        report.internalFailure('loading the control API', error)
      },
    }),
  )
  resources.defer(() => {
    custody.close()
  })
  const holding = resources.use(
    runBeside(signal, limit => holder.run({ probeIntervalMs: config.agent.probeIntervalMs, signal: limit })),
  )
  const plugin = await serveSealPlugin({
    directory: config.agent.ipcDirectory,
    ...(config.agent.ipcGroupId === undefined ? {} : { groupId: config.agent.ipcGroupId }),
    service: sealService({
      sealType: config.agent.sealType,
      heldKeyring: () => holder.held()?.key,
      waitForKeyring: (timeoutMs, callSignal) => holder.waitForKey(timeoutMs, callSignal),
      absorb: custody.absorb,
      failures: () =>
        seals.all().flatMap(({ name }) => {
          const health = holder.health(name)
          return health.kind === 'failing' ? [{ ...health.failure, sealName: name }] : []
        }),
      admit: (plaintextBytes, callSignal) => guard.admit(plaintextBytes, callSignal),
      version,
      randomBytes,
    }),
    onEvent(event) {
      metrics.countPluginEvent(event)
      report.pluginEvent(event)
    },
    now: Date.now,
    randomUuid: randomUUID,
    signal,
  })
  resources.defer(() => plugin.close())
  listSessions = () => plugin.sessions()
  log.info({ version, ...uptime() }, 'agent serves')
  if (config.openbao === undefined) log.warn('openbao.address is not configured: nothing is decrypted for OpenBao')
  const watch = await openBao.load()
  resources.use(
    runBeside(signal, async sideSignal => {
      await keepLearning(
        {
          leaderBlob: async askSignal => await watch?.leaderBlob(askSignal),
          absorb: custody.absorb,
          onBlob: leader.saw,
          onFailure: error => {
            report.leaderNotAsked(error)
          },
          intervalMs: config.agent.learnIntervalMs,
          random: Math.random,
        },
        sideSignal,
      )
    }),
  )
  resources.use(
    runBeside(signal, sideSignal =>
      keepTending(
        {
          custody,
          seals: seals.enabled,
          bell: tendingBell,
          intervalMs: config.agent.probeIntervalMs,
          onRenewed: sealNames => {
            log.info({ seals: sealNames }, 'seals have new records')
          },
          onLookedAfter: failures => {
            report.sealsLookedAfter(failures)
          },
          onBroken: error => {
            report.internalFailure('tending the seals', error)
          },
        },
        sideSignal,
      ),
    ),
  )
  const { staticDelivery } = config.agent
  const delivering =
    staticDelivery === undefined
      ? undefined
      : resources.use(
          runBeside(signal, sideSignal =>
            runStaticDelivery(
              {
                ...{ config: staticDelivery, custody, log, append },
                openBaoNeed: async askSignal => keyNeedOf(await watch?.view(askSignal)),
              },
              sideSignal,
            ),
          ),
        )
  await Promise.all([holding.ended, delivering?.ended])
  log.info('agent stops')
}

const NO_OPENBAO_CONFIGURED = 'its address is not configured (openbao.address)'

/** The watch on this node's OpenBao, loaded with its HTTP client when it is first needed; `undefined` if none is configured. */
function lazyOpenBaoWatch(
  config: NodeConfig['openbao'],
): AsyncDisposable & { load(): Promise<OpenBaoWatch | undefined> } {
  let loading: Promise<OpenBaoWatch> | undefined
  return {
    async load() {
      if (config === undefined) return undefined
      loading ??= import('./openbao/watch.ts').then(({ watchOpenBao }) => watchOpenBao(config))
      return await loading
    },
    async [Symbol.asyncDispose]() {
      await (await loading)?.[Symbol.asyncDispose]()
    },
  }
}

/** A second agent ends at once. Any other trouble with the store is looked at again with each try to open it. */
async function refuseSecondAgent(lock: AgentLock, signal: AbortSignal): Promise<void> {
  try {
    await lock.ensure(signal)
  } catch (error) {
    if (!(error instanceof StoreError) || error.code === 'STORE_IN_USE') throw error
  }
}

function uptime(): { readonly sinceProcessStartMs: number } {
  return { sinceProcessStartMs: Math.round(performance.now()) }
}
