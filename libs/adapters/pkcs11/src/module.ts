import { type ModuleFacts } from './channel/facts.ts'
import { type Deadline, startDeadline, within } from './deadline.ts'
import { Pkcs11Error } from './errors.ts'
import { type ProgramOfModule, startModuleProcess } from './module-process.ts'
import { type ModuleProcess } from './module-link.ts'

/** A vendor's PKCS#11 library, and how to start the process that it is loaded into. */
export type Pkcs11ModuleOptions = {
  /** Absolute. */
  readonly modulePath: string
  readonly spawn: ProgramOfModule
  /** After so long without a request the process is ended, and with it the login. Default: a minute. */
  readonly idleTimeoutMs?: number
  /** Sessions for each token, at most so many operations of it at a time: 1 to 64. Default 1, which is enough for a seal. */
  readonly sessionCount?: number
}

/** A process with a module in it, and what has been learned from it. */
export type ReadyProcess = {
  readonly process: ModuleProcess
  readonly facts: ModuleFacts
  /** The logins that are there or under way, by slot. */
  readonly logins: Map<string, Promise<void>>
}

/**
 * A module in a process of its own, started when it is first needed, and started anew when it was lost. Several members may share
 * one: they then share the login as well.
 */
export type Pkcs11Module = AsyncDisposable & {
  readonly modulePath: string
  readonly sessionCount: number
  /** The process, with the module loaded. Starts one if there is none. */
  ready(deadline: Deadline): Promise<ReadyProcess>
  /** Starts the process and loads the module, if there is none: the next use finds it ready, or says what failed. Logs in nowhere. */
  prepare(timeoutMs: number): void
  /** Ends the process; the next use starts another. */
  close(): Promise<void>
}

const NEVER_ABORTED = new AbortController().signal
const IDLE_TIMEOUT_MS = 60_000
const MAX_SESSIONS = 64

/**
 * Names a module. Starts nothing yet.
 *
 * @throws {@link Pkcs11Error} `PKCS11_INVALID_ARGUMENT`.
 */
export function pkcs11Module(options: Pkcs11ModuleOptions): Pkcs11Module {
  const { modulePath, idleTimeoutMs = IDLE_TIMEOUT_MS, sessionCount = 1 } = options
  if (!modulePath.startsWith('/')) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `the path of a module must begin with /: ${modulePath}`)
  }
  if (!Number.isInteger(sessionCount) || sessionCount < 1 || sessionCount > MAX_SESSIONS) {
    throw new Pkcs11Error('PKCS11_INVALID_ARGUMENT', `sessionCount must be 1 to ${MAX_SESSIONS}, not ${sessionCount}`)
  }
  let current: Promise<ReadyProcess> | undefined
  let started: ModuleProcess | undefined

  async function start(deadline: Deadline): Promise<ReadyProcess> {
    const process = startModuleProcess(options.spawn, idleTimeoutMs)
    started = process
    try {
      const facts = await process.call('load', { modulePath }, deadline)
      return { process, facts, logins: new Map() }
    } catch (error) {
      await process.end()
      throw error
    }
  }

  async function close(): Promise<void> {
    const ending = started
    current = undefined
    started = undefined
    await ending?.end()
  }

  async function ready(deadline: Deadline): Promise<ReadyProcess> {
    for (;;) {
      if (started?.isOver() === true) current = undefined
      const isMine = current === undefined
      const starting = (current ??= start(deadline))
      try {
        return await within(starting, deadline, 'waiting for the PKCS#11 module')
      } catch (error) {
        if (current === starting) current = undefined
        // Somebody else began it, and had less patience than we have.
        if (!isMine && !deadline.signal.aborted && isImpatience(error)) continue
        throw error
      }
    }
  }

  return {
    modulePath,
    sessionCount,
    close,
    [Symbol.asyncDispose]: close,
    ready,
    prepare: timeoutMs => {
      // Whoever uses it next meets the failure again, if it lasts.
      ready(startDeadline(timeoutMs, NEVER_ABORTED)).catch(() => undefined)
    },
  }
}

function isImpatience(error: unknown): boolean {
  return error instanceof Pkcs11Error && (error.code === 'PKCS11_CANCELLED' || error.code === 'PKCS11_TIMEOUT')
}
