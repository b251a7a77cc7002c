import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type IssuedCertificate, startProcess } from '@sealwright/testing-rig'
import { type ApiRequest, type ApiResponse, requestApi } from './api-request.ts'
import { type Encryption, encryptionConfiguration } from './encryption.ts'
import { type Etcd } from './etcd.ts'
import {
  type ApiServerCondition,
  type ApiServerState,
  type ApiServerWait,
  stateOf,
  waitForApiServer,
} from './health.ts'
import { type HealthEndpoint, type HealthReport, parseHealthReport } from './health-report.ts'
import { type ClusterIdentity, writeKubeconfig } from './identity.ts'
import { type CommandOptions, kubelabPath, runKubelab } from './kubelab.ts'
import { type Service, serviceControl } from './service.ts'

export interface ApiServerSettings {
  /** For its files and its log. Made (0700) when missing. Several API servers may share one if their names differ. */
  readonly directory: string
  /** For messages and the names of its files. */
  readonly name?: string
  readonly identity: ClusterIdentity
  readonly etcd: Pick<Etcd, 'endpoint'>
  /** Without it Secrets are stored in clear. */
  readonly encryption?: Encryption
  /** More flags of kube-apiserver. */
  readonly args?: readonly string[]
  /** Ends each waiting for a start. */
  readonly signal?: AbortSignal
}

export interface ApiServerStart {
  /** What to wait for before the call returns, `ready` by default. `nothing`: the process has been started, no more. */
  readonly until?: ApiServerCondition | 'nothing'
  readonly timeoutMs?: number
}

/** What may change from one start to the next. */
export type ApiServerChanges = Pick<ApiServerSettings, 'encryption' | 'args'> & ApiServerStart

/** A real kube-apiserver that can be ended and started again. */
export interface ApiServer extends Service {
  /** `https://127.0.0.1:PORT`. */
  readonly url: string
  /** The authority of its certificate, and of its service accounts' `ca.crt`. */
  readonly caPath: string
  readonly identity: ClusterIdentity
  /** Of a user who may do everything. */
  readonly kubeconfigPath: string
  /** Starts it again, with `changes` from now on. It must have ended. */
  readonly start: (changes?: ApiServerChanges) => Promise<void>
  /** {@link Service.stop}, then {@link ApiServer.start}. */
  readonly restart: (changes?: ApiServerChanges) => Promise<void>
  /** Rewrites the encryption configuration of a running API server, which looks at it if `reload` was set at its start. */
  readonly rewriteEncryption: (encryption: Encryption) => Promise<void>
  readonly state: (signal?: AbortSignal) => Promise<ApiServerState>
  /** Waits for the real state; the error tells the last state and the log's last lines. */
  readonly waitFor: (condition: ApiServerCondition, wait?: ApiServerWait) => Promise<void>
  /** What each check of `readyz` or `livez` says of itself. */
  readonly health: (endpoint: HealthEndpoint, signal?: AbortSignal) => Promise<HealthReport>
  /** One request, by the user who may do everything unless a token is given. */
  readonly request: (request: ApiRequest) => Promise<ApiResponse>
  /** The real kubectl; its standard output. Rejects, with its stderr, if it fails. */
  readonly kubectl: (args: readonly string[], options?: CommandOptions) => Promise<string>
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>
}

/** Requests under way, watches among them, are ended in order first. */
const STOP_TIMEOUT_MS = 20_000
/** First address of the range from which Services get theirs: that of the API itself. */
const SERVICE_RANGE = '10.96.0.0/24'
const SERVICE_ADDRESS = '10.96.0.1'

/**
 * Starts kube-apiserver and waits until it is ready.
 *
 * @throws {@link RigError} `RIG_PROCESS_ENDED` with the end of its log, `RIG_TIMEOUT`, `RIG_CANCELLED`, `RIG_TOOL_MISSING`.
 */
export async function startApiServer(options: ApiServerSettings & ApiServerStart): Promise<ApiServer> {
  const { until, timeoutMs, ...firstSettings } = options
  let settings: ApiServerSettings = firstSettings
  const { directory, name = 'kube-apiserver', identity } = settings
  const port = await freePort()
  const url = `https://127.0.0.1:${port}`
  const files = {
    kubeconfig: join(directory, `${name}.kubeconfig`),
    encryption: join(directory, `${name}-encryption.json`),
  }
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await writeKubeconfig({ path: files.kubeconfig, url, user: 'admin', identity })
  const certificate = await identity.authority.issue({
    name,
    usage: 'server',
    dnsNames: ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
    ipAddresses: [SERVICE_ADDRESS],
  })
  const { service, start } = serviceControl({
    name,
    logPath: join(directory, `${name}.log`),
    launch: async () => {
      if (settings.encryption !== undefined) await writeEncryption(files.encryption, settings.encryption)
      return await startProcess({
        name,
        command: kubelabPath(),
        args: ['kube-apiserver', ...apiServerArguments(settings, port, certificate, files.encryption)],
        logDirectory: directory,
        stopTimeoutMs: STOP_TIMEOUT_MS,
      })
    },
  })
  const ask = async (request: ApiRequest): Promise<ApiResponse> => await requestApi({ url, identity }, request)

  const server: ApiServer = {
    ...service,
    url,
    caPath: identity.authority.certificatePath,
    identity,
    kubeconfigPath: files.kubeconfig,
    start: async (changes = {}) => {
      const { until: untilNow = until ?? 'ready', timeoutMs: timeoutNowMs = timeoutMs, ...changed } = changes
      settings = { ...settings, ...changed }
      await start(async () => {
        if (untilNow === 'nothing') return
        await server.waitFor(untilNow, {
          ...(timeoutNowMs === undefined ? {} : { timeoutMs: timeoutNowMs }),
          ...(settings.signal === undefined ? {} : { signal: settings.signal }),
        })
      })
    },
    restart: async changes => {
      await service.stop()
      await server.start(changes)
    },
    rewriteEncryption: async encryption => {
      settings = { ...settings, encryption }
      await writeEncryption(files.encryption, encryption)
    },
    state: async signal => await stateOf(ask, signal),
    waitFor: async (condition, wait = {}) => {
      await waitForApiServer(server, condition, wait)
    },
    health: async (endpoint, signal) => {
      const path = `/${endpoint}?verbose`
      return parseHealthReport(endpoint, await ask({ path, ...(signal === undefined ? {} : { signal }) }))
    },
    request: ask,
    kubectl: async (args, command = {}) => {
      const environment = { KUBECONFIG: files.kubeconfig, HOME: directory }
      return (await runKubelab('kubectl', args, { ...command, environment })).toString()
    },
    metrics: async () => (await ask({ path: '/metrics' })).text,
  }
  await server.start()
  return server
}

function apiServerArguments(
  settings: ApiServerSettings,
  port: number,
  certificate: IssuedCertificate,
  encryptionPath: string,
): readonly string[] {
  const { identity, etcd, encryption, args = [] } = settings
  return [
    `--etcd-servers=${etcd.endpoint}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${certificate.certificatePath}`,
    `--tls-private-key-file=${certificate.privateKeyPath}`,
    `--token-auth-file=${identity.tokensPath}`,
    '--authorization-mode=RBAC',
    `--service-account-issuer=${identity.serviceAccountIssuer}`,
    `--service-account-key-file=${identity.serviceAccountPublicKeyPath}`,
    `--service-account-signing-key-file=${identity.serviceAccountKeyPath}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    // An address on loopback must not become an endpoint of the Service `kubernetes`.
    '--endpoint-reconciler-type=none',
    '--allow-privileged',
    ...(encryption === undefined ? [] : [`--encryption-provider-config=${encryptionPath}`]),
    ...(encryption?.reload === true ? ['--encryption-provider-config-automatic-reload'] : []),
    ...args,
  ]
}

/** In one step, so that an API server that reloads it never sees the half of it. */
async function writeEncryption(path: string, encryption: Encryption): Promise<void> {
  await writeFile(`${path}.new`, encryptionConfiguration(encryption), { mode: 0o600 })
  await rename(`${path}.new`, path)
}
