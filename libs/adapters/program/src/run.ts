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
/** How long the error that a program ends with may wait for its reader. Only where the pipe is full already does it wait at all. */
const LAST_WORDS_MS = 5_000

/**
 * Runs a program to its end: turns signals into an `AbortSignal`, errors into one line and an exit code.
 *
 * A failure prints `NAME: CODE: message`; its causes are not printed, since they may hold what a log should not. It is out when this resolves. A
 * reader of stderr that takes nothing away holds the end up for 5 s, and one that has gone away not at all.
 */
export async function runProgram({ name, exitCodes, main }: ProgramOptions): Promise<void> {
  // Without a listener of ours, SIGUSR1 would open a debugger to whoever may send it.
  process.on('SIGUSR1', ignoreSignal)
  const controller = new AbortController()
  const stop = (signalName: NodeJS.Signals) => {
    controller.abort(new Error(`stopped by ${signalName}`))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  let lastWords: string | undefined
  try {
    process.exitCode = await main(controller.signal)
  } catch (error) {
    if (controller.signal.aborted) {
      process.exitCode = INTERRUPTED_EXIT_CODE
    } else {
      lastWords = `${name}: ${describeError(error)}\n`
      process.exitCode = exitCodes[errorCodeOf(error) ?? ''] ?? 1
    }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
  if (lastWords !== undefined) await sayLastWords(lastWords)
  // What was written must reach a pipe before the process may end.
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
}

/** Node writes to a pipe when there is room in it: by then the program could have ended, or it would never end. */
async function sayLastWords(text: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  // Without a listener, that nobody reads would be an error of its own, with another exit code.
  process.stderr.on('error', ignoreError)
  process.stderr.write(text, () => {
    resolve(true)
  })
  const patience = setTimeout(resolve, LAST_WORDS_MS, false)
  const wereTaken = await promise
  clearTimeout(patience)
  // What waits to be written would keep the process for as long as the reader hangs.
  if (!wereTaken) process.exit()
}

/** `CODE: message` for our own errors; name and message for anything else. */
export function describeError(error: unknown): string {
  const code = errorCodeOf(error)
  if (!(error instanceof Error)) return String(error)
  return code === undefined ? `${error.name}: ${error.message}` : `${code}: ${error.message}`
}

function ignoreError(): void {
  // There is nobody left to tell.
}

function ignoreSignal(): void {
  // Having a listener is all that is wanted.
}
