import { destination, type Logger, pino, stdTimeFunctions } from 'pino'
import { errorCodeOf } from '@sealwright/system-error'

/** A log that nobody takes away (a full disk, say) is kept up to this size, then dropped. */
const MAX_UNWRITTEN_BYTES = 256 * 1024

/** JSON lines on `fd`. Nothing that is logged here ever holds a key, a PIN or a share. */
export function programLog(fd = 1): Logger {
  // Synchronous: the last words before a crash are the ones that matter.
  const output = destination({ fd, sync: true, maxLength: MAX_UNWRITTEN_BYTES })
  // Without a listener a full disk, or a log reader that went away, would end the program.
  output.on('error', () => undefined)
  return pino(
    {
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    output,
  )
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
