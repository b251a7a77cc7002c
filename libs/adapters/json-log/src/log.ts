import { type Logger, pino, stdTimeFunctions } from 'pino'
import { errorCodeOf } from '@sealwright/system-error'
import { logOutput } from './output.ts'

/**
 * JSON lines on `fd`, written at once. Nothing that is logged here ever holds a key, a PIN or a share.
 *
 * A reader that hangs or went away, or a full disk, neither stops nor ends the program: 256 KiB wait in memory, then the oldest are dropped,
 * and a line says how many. At the end, and at `fatal`, what waits holds the program up for a second at most.
 */
export function programLog(fd = 1): Logger {
  return pino(
    {
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    logOutput(fd, lostLine),
  )
}

function lostLine(lines: number): string {
  const facts = { level: 'warn', time: new Date().toISOString(), pid: process.pid, lines }
  return `${JSON.stringify({ ...facts, msg: 'lines of the log were lost: nobody took them away' })}\n`
}

/**
 * Code and reason of an error. Of its cause only the code (`EACCES`, say): the words of others may hold what a log should
 * not.
 */
export function failureOf(error: unknown): Readonly<Record<string, string>> {
  const code = errorCodeOf(error)
  const causeCode = error instanceof Error ? errorCodeOf(error.cause) : undefined
  return {
    ...(code === undefined ? {} : { code }),
    reason: error instanceof Error ? error.message : String(error),
    ...(causeCode === undefined ? {} : { causeCode }),
  }
}
