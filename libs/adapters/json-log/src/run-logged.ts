import { type Logger } from 'pino'
import { failureOf } from './log.ts'

/**
 * Runs a program that serves until `signal`, and logs the error that ends it: then it throws that. Told to stop while it was starting, it ends as it
 * should, whatever that has cut short.
 *
 * @param options.ends - what is said of an error, such as `plugin ends`.
 */
export async function runLogged(
  run: () => Promise<void>,
  { log, signal, ends }: { readonly log: Logger; readonly signal: AbortSignal; readonly ends: string },
): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (signal.aborted) {
      log.info(failureOf(error), 'told to stop, and ended what was under way')
      return
    }
    log.fatal(failureOf(error), ends)
    throw error
  }
}
