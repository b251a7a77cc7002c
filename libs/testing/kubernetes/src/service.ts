import { type ProcessEnd, RigError, type StartedProcess } from '@sealwright/testing-rig'

/** A program that can be ended and started again with the same data. */
export interface Service extends AsyncDisposable {
  readonly name: string
  readonly logPath: string
  /** The newest process, running or ended. */
  readonly process: () => StartedProcess
  readonly pid: () => number
  /** Sends one signal to the program alone and does not wait. */
  readonly kill: (signal?: NodeJS.Signals) => void
  /** SIGTERM and its end, by SIGKILL after a limit. Harmless when it has ended. */
  readonly stop: () => Promise<ProcessEnd>
}

/** A {@link Service} with what its maker needs to start it. */
export interface ServiceControl {
  readonly service: Service
  /** Starts a process and waits until `ready` has looked at it; ends it if that fails. */
  readonly start: (ready: (process: StartedProcess) => Promise<void>) => Promise<void>
}

/** Keeps track of a program that has one process at a time. `launch` starts the next one. */
export function serviceControl(options: {
  readonly name: string
  readonly logPath: string
  readonly launch: () => Promise<StartedProcess>
}): ServiceControl {
  const { name, logPath, launch } = options
  let current: StartedProcess | undefined
  const newest = (): StartedProcess => {
    if (current === undefined) throw new RigError('RIG_INVALID', `${name} was never started`)
    return current
  }
  const service: Service = {
    name,
    logPath,
    process: newest,
    pid: () => newest().pid,
    kill: (signal = 'SIGKILL') => {
      newest().kill(signal)
    },
    stop: async () => await newest().stop(),
    [Symbol.asyncDispose]: async () => {
      await current?.stop()
    },
  }
  return {
    service,
    start: async ready => {
      if (current !== undefined && current.end() === undefined) {
        throw new RigError('RIG_INVALID', `${name} runs already`)
      }
      const started = await launch()
      current = started
      try {
        await ready(started)
      } catch (error) {
        await started.stop()
        throw error
      }
    },
  }
}
