import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RigError } from './error.ts'
import { apiAddressOf, dataDirectoryOf, openBaoHcl, type OpenBaoSettings } from './openbao-config.ts'
import { requestOpenBao, type RigRequest, type RigResponse } from './openbao-request.ts'
import { type ProcessEnd, startProcess, type StartedProcess } from './process.ts'
import { openBaoPath } from './repository.ts'

/** What a node says of itself by the status of `sys/health`. */
export type NodeState = 'unreachable' | 'uninitialised' | 'sealed' | 'standby' | 'active' | 'failing'

/** A state, `listening` (any answer at all), `unsealed` (standby or active), or a look of one's own. */
export type NodeCondition =
  NodeState | 'listening' | 'unsealed' | ((node: OpenBaoNode, signal: AbortSignal) => boolean | Promise<boolean>)

export interface NodeWait {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Names a condition of one's own in the error. */
  readonly what?: string
}

/** A real OpenBao server that can be ended and started again with the same data. */
export interface OpenBaoNode extends AsyncDisposable {
  readonly nodeId: string
  readonly apiAddress: string
  readonly clusterAddress: string
  readonly directory: string
  readonly dataDirectory: string
  readonly configPath: string
  readonly logPath: string
  /** Authority to check the node's certificate with; undefined without TLS. */
  readonly caPath: string | undefined
  /** The newest process, running or ended. */
  readonly process: () => StartedProcess
  readonly pid: () => number
  /** Sends one signal to the server alone and does not wait. */
  readonly kill: (signal?: NodeJS.Signals) => void
  /** SIGTERM and its end. Harmless when it has ended. */
  readonly stop: () => Promise<ProcessEnd>
  /** Starts the server again, with `changes` to its settings from now on. It must have ended. */
  readonly start: (changes?: NodeChanges) => Promise<void>
  /** {@link OpenBaoNode.stop}, then {@link OpenBaoNode.start}. */
  readonly restart: (changes?: NodeChanges) => Promise<void>
  readonly state: (signal?: AbortSignal) => Promise<NodeState>
  /** Waits for the real state; the error tells the last state and the log's last lines. */
  readonly waitFor: (condition: NodeCondition, wait?: NodeWait) => Promise<void>
  readonly request: (request: RigRequest) => Promise<RigResponse>
}

export interface StartOptions {
  /** What to wait for before the call returns. `nothing`: the process has been started, no more. */
  readonly until?: NodeCondition | 'nothing'
  readonly timeoutMs?: number
}

/** What may change from one start to the next. */
export type NodeChanges = Partial<Omit<OpenBaoSettings, 'directory' | 'nodeId' | 'apiPort' | 'clusterPort'>> &
  StartOptions

const WAIT_TIMEOUT_MS = 60_000
const HEALTH_TIMEOUT_MS = 2_000

/**
 * Writes the configuration of a node, starts it, and waits until it listens.
 *
 * @throws {@link RigError} `RIG_PROCESS_ENDED` with the end of its log, `RIG_TIMEOUT`, `RIG_TOOL_MISSING`.
 */
export async function startOpenBao(options: OpenBaoSettings & StartOptions): Promise<OpenBaoNode> {
  const { until, timeoutMs, ...firstSettings } = options
  let settings: OpenBaoSettings = firstSettings
  let current: StartedProcess | undefined
  const { directory, nodeId } = settings
  const configPath = join(directory, 'openbao.hcl')
  await mkdir(dataDirectoryOf(settings), { recursive: true, mode: 0o700 })

  const running = (): StartedProcess => {
    if (current === undefined) throw new RigError('RIG_INVALID', `${nodeId} was never started`)
    return current
  }

  const node: OpenBaoNode = {
    nodeId,
    apiAddress: apiAddressOf(settings),
    clusterAddress: `https://127.0.0.1:${settings.clusterPort}`,
    directory,
    dataDirectory: dataDirectoryOf(settings),
    configPath,
    logPath: join(directory, `${nodeId}.log`),
    caPath: settings.tls?.caPath,
    process: running,
    pid: () => running().pid,
    kill: (signal = 'SIGKILL') => {
      running().kill(signal)
    },
    stop: async () => await running().stop(),
    start: async (changes = {}) => {
      if (current !== undefined && current.end() === undefined) {
        throw new RigError('RIG_INVALID', `${nodeId} runs already`)
      }
      const { until: untilNow = until ?? 'listening', timeoutMs: timeoutNowMs = timeoutMs, ...changed } = changes
      settings = { ...settings, ...changed }
      await writeFile(configPath, openBaoHcl(settings), { mode: 0o600 })
      current = await startProcess({
        name: nodeId,
        command: openBaoPath(),
        args: ['server', `-config=${configPath}`],
        logDirectory: directory,
        environment: { HOME: directory },
      })
      if (untilNow === 'nothing') return
      try {
        await node.waitFor(untilNow, timeoutNowMs === undefined ? {} : { timeoutMs: timeoutNowMs })
      } catch (error) {
        await current.stop()
        throw error
      }
    },
    restart: async changes => {
      await node.stop()
      await node.start(changes)
    },
    state: async signal => await nodeState(node, signal),
    waitFor: async (condition, wait = {}) => {
      await waitForNode(node, condition, wait)
    },
    request: async request => await requestOpenBao(node, request),
    [Symbol.asyncDispose]: async () => {
      await current?.stop()
    },
  }
  await node.start()
  return node
}

async function waitForNode(node: OpenBaoNode, condition: NodeCondition, wait: NodeWait): Promise<void> {
  let lastState: NodeState = 'unreachable'
  const what = wait.what ?? (typeof condition === 'string' ? `state "${condition}"` : 'a condition')
  const look = async (signal: AbortSignal): Promise<boolean> => {
    if (typeof condition === 'function') return await condition(node, signal)
    lastState = await node.state(signal)
    return satisfies(lastState, condition)
  }
  await node.process().waitFor(look, {
    what: `${node.nodeId} (${node.apiAddress}): ${what}`,
    timeoutMs: wait.timeoutMs ?? WAIT_TIMEOUT_MS,
    describe: () => (typeof condition === 'function' ? '' : `its last state was "${lastState}"`),
    ...(wait.signal === undefined ? {} : { signal: wait.signal }),
  })
}

function satisfies(state: NodeState, condition: NodeState | 'listening' | 'unsealed'): boolean {
  switch (condition) {
    case 'listening':
      return state !== 'unreachable'
    case 'unsealed':
      return state === 'active' || state === 'standby'
    case 'unreachable':
    case 'uninitialised':
    case 'sealed':
    case 'standby':
    case 'active':
    case 'failing':
      return state === condition
  }
}

async function nodeState(node: OpenBaoNode, signal: AbortSignal | undefined): Promise<NodeState> {
  try {
    const { status } = await node.request({
      path: 'sys/health',
      timeoutMs: HEALTH_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    })
    return STATE_BY_STATUS[status] ?? 'failing'
  } catch (error) {
    if (error instanceof RigError && error.code === 'RIG_UNREACHABLE') return 'unreachable'
    throw error
  }
}

const STATE_BY_STATUS: Readonly<Record<number, NodeState>> = {
  200: 'active',
  429: 'standby',
  501: 'uninitialised',
  503: 'sealed',
}
