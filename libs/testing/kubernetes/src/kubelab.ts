import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { repositoryRoot, RigError, SEARCH_PATH } from '@sealwright/testing-rig'

/** What of `kubelab` does one thing and ends. */
export type KubelabCommand = 'etcdctl' | 'kubectl'

/** What a command is given beside its arguments. */
export interface CommandOptions {
  /** The whole standard input; nothing by default. */
  readonly stdin?: string | Uint8Array
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const COMMAND_TIMEOUT_MS = 60_000

/**
 * Path of the program that holds the Kubernetes control plane.
 *
 * @throws {@link RigError} `RIG_TOOL_MISSING` if the set-up has not built it.
 */
export function kubelabPath(): string {
  const path = join(repositoryRoot(), '.tools/bin/kubelab')
  try {
    accessSync(path, constants.X_OK)
  } catch (cause) {
    throw new RigError('RIG_TOOL_MISSING', `Kubernetes is missing at ${path}: run \`npm run setup\``, { cause })
  }
  return path
}

/**
 * Runs a command of `kubelab` to its end.
 *
 * @param options.environment - added to `PATH`. Nothing of our own environment is passed on.
 * @returns its standard output.
 * @throws {@link RigError} `RIG_PROCESS_ENDED` with what it wrote to stderr if it does not end with 0, `RIG_TIMEOUT`,
 * `RIG_CANCELLED`, `RIG_TOOL_MISSING`.
 */
export async function runKubelab(
  command: KubelabCommand,
  args: readonly string[],
  options: CommandOptions & { readonly environment: Readonly<Record<string, string>> },
): Promise<Buffer> {
  const { stdin = '', timeoutMs = COMMAND_TIMEOUT_MS, signal, environment } = options
  const deadline = AbortSignal.timeout(timeoutMs)
  const what = [command, ...args].join(' ')
  // Should our own process be killed, the command must not stay behind.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', kubelabPath(), command, ...args], {
    env: { PATH: SEARCH_PATH, ...environment },
    signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    killSignal: 'SIGKILL',
  })
  const ended = Promise.withResolvers<number | NodeJS.Signals | null>()
  child.once('error', ended.reject)
  child.once('close', (code, by) => {
    ended.resolve(code ?? by)
  })
  // It may end before it has read all: its exit code then says why.
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin)
  try {
    const [code, stdout, stderr] = await Promise.all([ended.promise, collect(child.stdout), text(child.stderr)])
    if (code === 0) return stdout
    throw new RigError('RIG_PROCESS_ENDED', `\`${what}\` ended with ${String(code)}: ${stderr.trim()}`)
  } catch (cause) {
    if (signal?.aborted) throw new RigError('RIG_CANCELLED', `stopped \`${what}\``, { cause })
    if (deadline.aborted) throw new RigError('RIG_TIMEOUT', `\`${what}\` did not end within ${timeoutMs} ms`, { cause })
    throw cause
  }
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
