import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { repositoryRoot } from '@sealwright/testing-rig'
import { LabError } from './errors.ts'

/**
 * Has the set-up build the Kubernetes control plane, and says on stderr what it waits for: minutes for the first time, nothing later.
 *
 * @throws {@link LabError} if it fails; what is wrong has been said.
 */
export async function setUpKubernetes(signal: AbortSignal): Promise<void> {
  const root = repositoryRoot()
  const child = spawn(process.execPath, [join(root, 'tools/setup/main.mjs'), '--for', 'kubernetes'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    // A group of its own: a compiler with all that it has started is to end with us.
    detached: true,
  })
  const end = (): void => {
    const isRunning = child.exitCode === null && child.signalCode === null
    if (child.pid !== undefined && isRunning) process.kill(-child.pid, 'SIGTERM')
  }
  signal.addEventListener('abort', end)
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    signal.throwIfAborted()
    if (code !== 0) throw new LabError(`Kubernetes could not be set up (${String(code)})`)
  } finally {
    signal.removeEventListener('abort', end)
  }
}
