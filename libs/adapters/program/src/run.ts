import { once } from 'node:events'
import { errorCodeOf } from '@sealwright/system-error'

/** How a program ends for one error code; codes that are not listed end with 1. */
export type ExitCodes = Readonly<Record<string, number>>

export interface ProgramOptions {
  /** Stands before every line of error, as in `sealctl: …`. */
  readonly name: string
  readonly exitCodes: ExitCodes
  /** Does the work and returns the exit code. `signal` is aborted by SIGINT and SIGTERM. */
  readonly main: (signal: AbortSignal) => Promise<number>
}

/** Exit code after SIGINT or SIGTERM, as shells write it. */
const INTERRUPTED_EXIT_CODE = 130

/**
 * Runs a program to its end: turns signals into an `AbortSignal`, errors into one line and an exit code.
 *
 * A failure prints `NAME: CODE: message`; its causes are not printed, since they may hold what a log should not.
 */
export async function runProgram({ name, exitCodes, main }: ProgramOptions): Promise<void> {
  // Without a listener of ours, SIGUSR1 would open a debugger to whoever may send it.
  process.on('SIGUSR1', ignoreSignal)
  const controller = new AbortController()
  const stop = (signalName: NodeJS.Signals) => {
    controller.abort(new Error(`stopped by ${signalName}`))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  try {
    process.exitCode = await main(controller.signal)
  } catch (error) {
    if (controller.signal.aborted) {
      process.exitCode = INTERRUPTED_EXIT_CODE
    } else {
      process.stderr.write(`${name}: ${describeError(error)}\n`)
      process.exitCode = exitCodes[errorCodeOf(error) ?? ''] ?? 1
    }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
  // What was written must reach a pipe before the process may end.
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
}

/** `CODE: message` for our own errors; name and message for anything else. */
export function describeError(error: unknown): string {
  const code = errorCodeOf(error)
  if (!(error instanceof Error)) return String(error)
  return code === undefined ? `${error.name}: ${error.message}` : `${code}: ${error.message}`
}

function ignoreSignal(): void {
  // Having a listener is all that is wanted.
}
