import { type ChildProcess, spawn } from 'node:child_process'
import { type Socket } from 'node:net'
import { PKCS11_CHANNEL_FD } from './channel/descriptor.ts'
import { linkOver, type ModuleProcess } from './module-link.ts'
import { Pkcs11Error } from './errors.ts'

/** A program that calls `servePkcs11` on its descriptor 3 and does nothing else. */
export type ProgramOfModule = {
  readonly command: string
  readonly args: readonly string[]
  /** What the module's own settings need, such as `SOFTHSM2_CONF`. Together with a fixed `PATH` it is all that the process gets. */
  readonly environment: Readonly<Record<string, string>>
  /** Where to what the module prints goes. Default: nowhere. */
  readonly vendorOutput?: 'ignore' | 'inherit'
}

/** Where programs given without a path are looked for. Ours, not the environment's: nobody else chooses the program. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * What stands before the program: no core dump, and SIGKILL when we end, even while it hangs in the module and reads nothing. Both
 * programs become the next one, so that the process id stays. See prlimit(1), setpriv(1): util-linux, as `flock` is.
 */
const GUARDS = ['prlimit', '--core=0', 'setpriv', '--pdeathsig', 'KILL', '--'] as const

/** How long the process may take to end in good order once it is told to, before it is killed. */
const END_TIMEOUT_MS = 1_000

/**
 * Starts the process for a module. It is told nothing yet.
 *
 * @param idleTimeoutMs - it is ended after so long without a request.
 */
export function startModuleProcess(program: ProgramOfModule, idleTimeoutMs: number): ModuleProcess {
  const [command, ...guards] = GUARDS
  const vendorOutput = program.vendorOutput ?? 'ignore'
  const child = spawn(command, [...guards, program.command, ...program.args], {
    env: { ...program.environment, PATH: SEARCH_PATH },
    cwd: '/',
    stdio: ['ignore', vendorOutput, vendorOutput, 'pipe'],
  })
  const channel = channelOf(child)
  const exited = exitOf(child)
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  return linkOver({
    channel,
    exited,
    kill,
    end: async () => {
      channel.destroy()
      const timer = setTimeout(kill, END_TIMEOUT_MS)
      await exited
      clearTimeout(timer)
    },
    // An idle module must not keep our own process from ending; one that works must.
    hold: isBusy => {
      for (const handle of [child, channel]) {
        if (isBusy) handle.ref()
        else handle.unref()
      }
    },
    idleTimeoutMs,
  })
}

/** Our end of the channel. */
function channelOf(child: ChildProcess): Socket {
  const channel = child.stdio[PKCS11_CHANNEL_FD]
  if (channel === null || channel === undefined) {
    throw new Pkcs11Error(
      'PKCS11_PROCESS_UNAVAILABLE',
      'too many files are open to start the process for a PKCS#11 module',
    )
  }
  // A `pipe` is a socket pair, both ways.
  return channel as Socket
}

/** Resolves with why there is no process any more. Never rejects. */
function exitOf(child: ChildProcess): Promise<Pkcs11Error> {
  return new Promise(resolve => {
    child.once('error', cause => {
      const message = `the process for the PKCS#11 module cannot be started (${cause.message}): prlimit and setpriv of util-linux are needed`
      resolve(new Pkcs11Error('PKCS11_PROCESS_UNAVAILABLE', message, { cause }))
    })
    child.once('exit', (code, signal) => {
      resolve(endedError(code, signal))
    })
  })
}

/** What setpriv ends with when it cannot start the program. */
const CANNOT_START = [126, 127]

function endedError(code: number | null, signal: NodeJS.Signals | null): Pkcs11Error {
  if (code !== null && CANNOT_START.includes(code)) {
    return new Pkcs11Error(
      'PKCS11_PROCESS_UNAVAILABLE',
      `the process for the PKCS#11 module cannot be started: its program is missing (code ${code})`,
    )
  }
  const how = signal === null ? `with code ${String(code)}` : `by ${signal}`
  return new Pkcs11Error(
    'PKCS11_CRASHED',
    `the process with the PKCS#11 module ended ${how} while it worked: the module has crashed, or somebody killed it`,
  )
}
