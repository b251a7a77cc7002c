import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programCommand } from './programs.ts'
import { type ProgramResult, runProgramToEnd } from './run-program.ts'
import {
  type OpenBaoNode,
  type OpenBaoSeal,
  startOpenBao,
  type StartOptions,
  type OpenBaoSettings,
  type OpenBaoTls,
  startProcess,
  type StartedProcess,
  startSwtpm,
  type Swtpm,
} from '@sealwright/testing-rig'

/** Settings of a sealed node that are written to its configuration file, beside those that the rig sets itself. */
export interface SealedNodeConfig {
  /** Fields of its one seal, beside `name`, `type`, `priority` and `tpm`. */
  readonly seal?: Readonly<Record<string, unknown>>
  /** Seals beside that one. */
  readonly moreSeals?: readonly Readonly<Record<string, unknown>>[]
  /** The id of the cluster, 32 hex digits. */
  readonly clusterId?: string
  /** Where the agent finds the TPM, if not at the TPM's own socket: a proxy, for instance. */
  readonly tpmSocketPath?: string
  readonly agent?: Readonly<Record<string, unknown>>
  readonly openbao?: { readonly address: string; readonly caFile?: string }
}

/** One line of a program's JSON log. */
export type LogLine = Readonly<Record<string, unknown>>

/** One machine: a TPM, the agent and, once started, OpenBao. All real programs. */
export interface SealedNode extends AsyncDisposable {
  readonly name: string
  readonly directory: string
  readonly configPath: string
  readonly storePath: string
  /** What the connector is given as its argument. */
  readonly ipcDirectory: string
  readonly controlSocketPath: string
  /** OpenBao's plugin folder, where `bootstrap-init` puts the connector. */
  readonly pluginDirectory: string
  readonly tpm: Swtpm
  writeConfig(config: SealedNodeConfig): Promise<void>
  /** Runs `bootstrap-init --json`. */
  bootstrap(sealKeyPath: string, extraArgs?: readonly string[]): Promise<ProgramResult>
  /** Starts the agent. Resolves when its process runs, not when it is ready. */
  startAgent(): Promise<StartedProcess>
  /** The newest agent process. */
  agent(): StartedProcess
  /** Waits until the agent's log has a line with this message after its newest start, and returns that line's fields. */
  waitForLog(message: string, timeoutMs?: number): Promise<LogLine>
  /** Runs `sealctl` with the node's control socket. */
  sealctl(...args: readonly string[]): Promise<ProgramResult>
  /** How OpenBao is configured behind the agent, for one that begins with another seal. The connector must be there. */
  openBaoSeal(options?: SealStanzaOptions): OpenBaoSeal
  /** Starts OpenBao behind the agent, unless told of another seal. */
  startOpenBao(options: SealedOpenBaoOptions): Promise<OpenBaoNode>
  /** The newest OpenBao of this node. */
  openBao(): OpenBaoNode
}

/** What may be said in the stanzas of our plugin and our seal. */
export interface SealStanzaOptions {
  /** Given only to prove that a wrong one is refused. */
  readonly connectorSha256?: string
  /** How long the connector waits for the agent; its own default when left out. */
  readonly connectorWaitSeconds?: number
  /** Options of the `seal` stanza. */
  readonly sealOptions?: Readonly<Record<string, string>>
}

export type SealedOpenBaoOptions = Pick<
  OpenBaoSettings,
  'apiPort' | 'clusterPort' | 'retryJoin' | 'extraHcl' | 'logLevel'
> &
  StartOptions &
  SealStanzaOptions & {
    readonly tls?: OpenBaoTls
    /** Another seal than ours. */
    readonly seal?: OpenBaoSeal
  }

/** File name of the connector in a plugin folder. */
export const CONNECTOR_NAME = 'sealwright-connector'

const LOG_TIMEOUT_MS = 30_000

/** Makes a node's folders, its TPM and its configuration. `directory` must exist, be private, and have a short path. */
export async function createSealedNode(options: {
  readonly name: string
  readonly directory: string
  readonly config?: SealedNodeConfig
}): Promise<SealedNode> {
  const { name, directory } = options
  const tpmDirectory = join(directory, 'tpm')
  const pluginDirectory = join(directory, 'plugins')
  for (const folder of [tpmDirectory, pluginDirectory, join(directory, 'bao')]) {
    await mkdir(folder, { mode: 0o700, recursive: true })
  }
  const tpm = await startSwtpm({ directory: tpmDirectory })
  let agent: StartedProcess | undefined
  let openBao: OpenBaoNode | undefined

  const node: SealedNode = {
    name,
    directory,
    configPath: join(directory, 'node.yaml'),
    storePath: join(directory, 'seal'),
    ipcDirectory: join(directory, 'ipc'),
    controlSocketPath: join(directory, 'control.sock'),
    pluginDirectory,
    tpm,
    async writeConfig(config) {
      // YAML 1.2 reads JSON.
      const file = {
        store: node.storePath,
        seals: [
          {
            name: 'tpm',
            type: 'tpm',
            priority: 1,
            tpm: { socket: config.tpmSocketPath ?? tpm.socketPath },
            ...config.seal,
          },
          ...(config.moreSeals ?? []),
        ],
        ...(config.clusterId === undefined ? {} : { clusterId: config.clusterId }),
        agent: {
          ipcDirectory: node.ipcDirectory,
          controlSocket: node.controlSocketPath,
          auditDirectory: join(directory, 'audit'),
          ...config.agent,
        },
        ...(config.openbao === undefined ? {} : { openbao: config.openbao }),
      }
      await writeFile(node.configPath, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
    },
    async bootstrap(sealKeyPath, extraArgs = []) {
      return await runProgramToEnd('bootstrap-init', [
        '--config',
        node.configPath,
        '--seal-key',
        sealKeyPath,
        '--connector',
        pluginDirectory,
        '--label',
        name,
        '--json',
        ...extraArgs,
      ])
    },
    async startAgent() {
      const { command, args } = programCommand('unsealer-sidecar')
      agent = await startProcess({
        name: `${name}-agent`,
        command,
        args: [...args, '--config', node.configPath],
        logDirectory: directory,
      })
      return agent
    },
    agent() {
      if (agent === undefined) throw new Error(`the agent of ${name} was never started`)
      return agent
    },
    async waitForLog(message, timeoutMs = LOG_TIMEOUT_MS) {
      const { pid, waitFor, logPath } = node.agent()
      return await waitFor(() => findLogLine(readFileSync(logPath, 'utf8'), pid, message), {
        what: `"${message}" in the log of ${name}`,
        timeoutMs,
      })
    },
    async sealctl(...args) {
      return await runProgramToEnd('sealctl', [...args, '--socket', node.controlSocketPath])
    },
    openBaoSeal: ({ connectorSha256, connectorWaitSeconds, sealOptions } = {}) => ({
      kind: 'sealwright',
      pluginDirectory,
      command: CONNECTOR_NAME,
      args: [node.ipcDirectory, ...(connectorWaitSeconds === undefined ? [] : [String(connectorWaitSeconds)])],
      ...(sealOptions === undefined ? {} : { options: sealOptions }),
      ...(connectorSha256 === undefined ? {} : { sha256: connectorSha256 }),
    }),
    async startOpenBao({ connectorSha256, connectorWaitSeconds, sealOptions, seal, ...settings }) {
      const ours = {
        ...(connectorSha256 === undefined ? {} : { connectorSha256 }),
        ...(connectorWaitSeconds === undefined ? {} : { connectorWaitSeconds }),
        ...(sealOptions === undefined ? {} : { sealOptions }),
      }
      openBao = await startOpenBao({
        ...settings,
        directory: join(directory, 'bao'),
        nodeId: name,
        seal: seal ?? node.openBaoSeal(ours),
      })
      return openBao
    },
    openBao() {
      if (openBao === undefined) throw new Error(`OpenBao of ${name} was never started`)
      return openBao
    },
    async [Symbol.asyncDispose]() {
      // OpenBao first: it may need the agent to end in good order.
      await openBao?.stop()
      await agent?.stop()
      await tpm.stop()
    },
  }
  await node.writeConfig(options.config ?? {})
  return node
}

/** The first line of a JSON log that a process wrote with this message. */
function findLogLine(log: string, pid: number, message: string): LogLine | undefined {
  // What follows the last line feed may still be half written.
  for (const line of log.split('\n').slice(0, -1)) {
    if (!line.startsWith('{')) continue
    const fields = JSON.parse(line) as { pid?: unknown; msg?: unknown }
    if (fields.pid === pid && fields.msg === message) return fields
  }
  return undefined
}
