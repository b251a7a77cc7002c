import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { disownGroup, ownGroup, signalGroup, signalProcess } from './children.ts'
import { RigError } from './error.ts'
import { processGroup, type ProcessInfo } from './proc.ts'
import { type NotYet, type WaitOptions, waitUntil } from './wait.ts'

/** How a process ended: exactly one of the two is not null. */
export interface ProcessEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProcessOptions {
  /** Short name for messages; the log is `<name>.log`. */
  readonly name: string
  /** Absolute path, or a program on {@link SEARCH_PATH}. */
  readonly command: string
  readonly args?: readonly string[]
  /** Folder for the log. Made (0700) when missing. A log that is there already is continued. */
  readonly logDirectory: string
  readonly workingDirectory?: string
  /** Added to `PATH`. Nothing of our own environment is passed on. */
  readonly environment?: Readonly<Record<string, string>>
  /** How long {@link StartedProcess.stop} waits after SIGTERM before it kills. */
  readonly stopTimeoutMs?: number
}

/** A program that we started and that ends, at the latest, with us. */
export interface StartedProcess extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** stdout and stderr, mode 0600. */
  readonly logPath: string
  /** Resolves when the process has ended. Never rejects. */
  readonly exited: Promise<ProcessEnd>
  /** How it ended, or undefined while it runs. */
  readonly end: () => ProcessEnd | undefined
  /** Sends one signal to this process alone, not to what it started. */
  readonly kill: (signal: NodeJS.Signals) => void
  /** SIGTERM, after a limit SIGKILL; then kills whatever it left behind. */
  readonly stop: () => Promise<ProcessEnd>
  /** What still runs of its process group, itself included. */
  readonly group: () => readonly ProcessInfo[]
  /** The last lines of the log. */
  readonly logTail: (maxLines?: number) => string
  /** {@link waitUntil}, but fails at once, with the log's last lines, when the process ends. */
  readonly waitFor: <T>(
    condition: (signal: AbortSignal) => T | NotYet | Promise<T | NotYet>,
    options: WaitOptions,
  ) => Promise<T>
}

/** `PATH` of everything we start: the same on each machine, whatever the caller's shell says. */
export const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const STOP_TIMEOUT_MS = 10_000
/** The kernel ends a killed process at once, unless a device holds it. */
const SWEEP_TIMEOUT_MS = 5_000
const LOG_TAIL_LINES = 30

/**
 * Starts a program with its output in a log file.
 *
 * It leads a process group of its own. When this process ends in an orderly way or by SIGINT, SIGTERM, SIGHUP or an
 * error, the group is killed. When this process is killed, the kernel kills the program (`setpriv --pdeathsig`).
 *
 * @throws {@link RigError} `RIG_TOOL_MISSING` if it cannot be started at all.
 */
export async function startProcess(options: ProcessOptions): Promise<StartedProcess> {
  const { name, command, args = [], logDirectory, workingDirectory, stopTimeoutMs = STOP_TIMEOUT_MS } = options
  await mkdir(logDirectory, { recursive: true, mode: 0o700 })
  const logPath = join(logDirectory, `${name}.log`)
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
    cwd: workingDirectory ?? logDirectory,
    env: { PATH: SEARCH_PATH, ...options.environment },
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  let ended: ProcessEnd | undefined
  const exited = Promise.withResolvers<ProcessEnd>()
  child.once('exit', (code, signal) => {
    ended = { code, signal }
    if (child.pid !== undefined && processGroup(child.pid).length === 0) disownGroup(child.pid)
    exited.resolve(ended)
  })
  const pid = await spawned(child, name)
  ownGroup(pid)

  const started: StartedProcess = {
    name,
    pid,
    logPath,
    exited: exited.promise,
    end: () => ended,
    kill: signal => {
      // Once it has ended its pid can be somebody else's.
      if (ended === undefined) signalProcess(pid, signal)
    },
    stop: async () => {
      started.kill('SIGTERM')
      const killer = setTimeout(() => {
        started.kill('SIGKILL')
      }, stopTimeoutMs)
      const end = await exited.promise
      clearTimeout(killer)
      await sweep(pid, name)
      return end
    },
    group: () => processGroup(pid),
    logTail: (maxLines = LOG_TAIL_LINES) => readTail(logPath, maxLines),
    waitFor: async (condition, wait) => {
      const watch = async (signal: AbortSignal) => {
        if (ended !== undefined) throw endedEarly(started, ended, wait.what)
        return await condition(signal)
      }
      return await waitUntil(watch, {
        ...wait,
        describe: () => [wait.describe?.(), quoteLog(started)].filter(part => part !== undefined).join('\n'),
      })
    },
    [Symbol.asyncDispose]: async () => {
      await started.stop()
    },
  }
  return started
}

async function spawned(child: ChildProcess, name: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  child.once('spawn', () => {
    resolve(undefined)
  })
  child.once('error', reject)
  try {
    await promise
  } catch (cause) {
    throw new RigError('RIG_TOOL_MISSING', `${name} cannot be started: setpriv (util-linux) is needed`, { cause })
  }
  if (child.pid === undefined) throw new RigError('RIG_TOOL_MISSING', `${name} was started without a pid`)
  return child.pid
}

/** Kills what the ended leader left behind. While one member lives, nobody else can get the group's number. */
async function sweep(leaderPid: number, name: string): Promise<void> {
  if (processGroup(leaderPid).length > 0) signalGroup(leaderPid, 'SIGKILL')
  await waitUntil(() => processGroup(leaderPid).length === 0, {
    what: `the end of what ${name} left behind`,
    timeoutMs: SWEEP_TIMEOUT_MS,
  })
  disownGroup(leaderPid)
}

function endedEarly(process: StartedProcess, { code, signal }: ProcessEnd, what: string): RigError {
  const how = signal === null ? `with code ${String(code)}` : `by ${signal}`
  return new RigError('RIG_PROCESS_ENDED', `${process.name} ended ${how} before ${what}\n${quoteLog(process)}`)
}

function quoteLog(process: StartedProcess): string {
  return `--- last lines of ${process.logPath}\n${process.logTail()}\n---`
}

function readTail(path: string, maxLines: number): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-maxLines).join('\n')
}
