import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { SealPluginError } from './errors.ts'

const run = promisify(execFile)
/** Making pipes takes milliseconds; the rest is a machine that has stopped. */
const MKFIFO_TIMEOUT_MS = 5000

/**
 * Makes FIFOs of mode 0600. Node has no call for it, so the `mkfifo` program does it.
 *
 * @throws {@link SealPluginError} `SEAL_PLUGIN_MKFIFO_FAILED`
 */
export async function makeFifos(mkfifoPath: string, paths: readonly string[]): Promise<void> {
  try {
    await run(mkfifoPath, ['-m', '0600', ...paths], { timeout: MKFIFO_TIMEOUT_MS, env: {} })
  } catch (cause) {
    throw new SealPluginError('SEAL_PLUGIN_MKFIFO_FAILED', `${mkfifoPath} did not make ${paths.join(' ')}`, { cause })
  }
}
