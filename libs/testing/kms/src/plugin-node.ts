import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { programCommand } from '@sealwright/testing-cluster'
import { type ProcessEnd, startProcess, type StartedProcess } from '@sealwright/testing-rig'

/** A control-plane node's KMS plugin: our bundled program, as it is shipped, with files of its own. */
export interface PluginNode extends AsyncDisposable {
  readonly name: string
  readonly socketPath: string
  readonly statusSocketPath: string
  readonly configPath: string
  readonly stateDirectory: string
  /** Writes the configuration anew: for the next start. */
  readonly configure: (changes: PluginSettings) => Promise<void>
  /** Starts it, and waits until it serves. It must have ended. */
  readonly start: (options?: { readonly until?: 'serving' | 'nothing'; readonly timeoutMs?: number }) => Promise<void>
  /** SIGTERM and its end. Harmless when it has ended. */
  readonly stop: () => Promise<ProcessEnd | undefined>
  readonly kill: (signal?: NodeJS.Signals) => void
  /** The newest process, running or ended. */
  readonly process: () => StartedProcess
  /** What its status socket answers. */
  readonly ask: (
    path: '/healthz' | '/readyz' | '/metrics',
  ) => Promise<{ readonly status: number; readonly text: string }>
  /** Waits until `/readyz` says 200. */
  readonly waitUntilReady: (timeoutMs?: number) => Promise<void>
}

/** Fields of the configuration, as a file has them. */
export interface PluginSettings {
  readonly backend?: Readonly<Record<string, unknown>>
  readonly clusterId?: string
  readonly rotation?: Readonly<Record<string, unknown>>
  readonly probe?: Readonly<Record<string, unknown>>
  readonly socket?: Readonly<Record<string, unknown>>
}

export interface PluginNodeOptions extends PluginSettings {
  /** Of this node alone; its path short enough for sockets. Made when missing. */
  readonly directory: string
  readonly name: string
  readonly backend: Readonly<Record<string, unknown>>
}

const START_TIMEOUT_MS = 60_000
/** As its unit file has it. */
const ENVIRONMENT = { GLIBC_TUNABLES: 'glibc.malloc.perturb=90:glibc.malloc.arena_max=1' }
/** A test does not wait for a minute to see the third look at a key. */
const QUICK_PROBE = { intervalMs: 200, retryIntervalMs: 50 }
const QUICK_ROTATION = { stableObservations: 2, activationDelayMs: 1_000 }

/** Makes a node; nothing is started yet. */
export async function createPluginNode(options: PluginNodeOptions): Promise<PluginNode> {
  const { directory, name } = options
  const paths = {
    socketPath: join(directory, 'kms.sock'),
    statusSocketPath: join(directory, 'status.sock'),
    configPath: join(directory, 'kms.yaml'),
    stateDirectory: join(directory, 'state'),
  }
  await mkdir(directory, { recursive: true, mode: 0o700 })
  let current: StartedProcess | undefined
  let settings: PluginSettings = { clusterId: 'lab', probe: QUICK_PROBE, rotation: QUICK_ROTATION, ...options }

  const running = (): StartedProcess => {
    if (current === undefined) throw new Error(`${name} was never started`)
    return current
  }

  const node: PluginNode = {
    ...{ name, ...paths, process: running },
    configure: async changes => {
      settings = { ...settings, ...changes }
      const { clusterId, backend, probe, rotation, socket } = settings
      const config = {
        ...{ clusterId, backend, probe, rotation, stateDirectory: paths.stateDirectory },
        socket: { path: paths.socketPath, ...socket },
        statusSocket: paths.statusSocketPath,
      }
      // JSON is YAML.
      await writeFile(paths.configPath, JSON.stringify(config, null, 2), { mode: 0o600 })
    },
    start: async ({ until = 'serving', timeoutMs = START_TIMEOUT_MS } = {}) => {
      if (current !== undefined && current.end() === undefined) throw new Error(`${name} runs already`)
      const { command, args } = programCommand('kms-plugin')
      current = await startProcess({
        ...{ name, command, args: [...args, '--config', paths.configPath], logDirectory: directory },
        environment: ENVIRONMENT,
      })
      if (until === 'nothing') return
      const { pid } = current
      const serves = (): boolean =>
        running()
          .logTail(1_000)
          .split('\n')
          .some(line => line.includes(`"pid":${pid},`) && line.includes('"msg":"serves"'))
      await current.waitFor(serves, { what: `${name} to serve`, timeoutMs })
    },
    stop: async () => await current?.stop(),
    kill: (signal = 'SIGKILL') => {
      running().kill(signal)
    },
    ask: async path => await askSocket(paths.statusSocketPath, path),
    waitUntilReady: async (timeoutMs = START_TIMEOUT_MS) => {
      await running().waitFor(async () => (await node.ask('/readyz')).status === 200, {
        what: `${name} to be ready`,
        timeoutMs,
      })
    },
    [Symbol.asyncDispose]: async () => {
      await current?.stop()
    },
  }
  await node.configure({})
  return node
}

async function askSocket(socketPath: string, path: string): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false, timeout: 10_000 }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, text })
      })
    })
    sent.once('timeout', () => sent.destroy(new Error(`${path}: no answer`)))
    sent.once('error', reject)
    sent.end()
  })
}
