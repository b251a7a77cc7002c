import { spawn } from 'node:child_process'
import { repositoryRoot } from '../setup/paths.mjs'

/** Runs one step with its output on the terminal, and says how long it took. Returns whether it succeeded. */
export async function runStep(title, [command, ...args], env) {
  console.log(`\n── ${title}`)
  const startedAtMs = Date.now()
  const child = spawn(command, args, { cwd: repositoryRoot, env, stdio: ['ignore', 'inherit', 'inherit'] })
  const passOn = signal => child.kill(signal)
  process.on('SIGINT', passOn).on('SIGTERM', passOn)
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (exitCode, signal) => resolve(exitCode ?? signal))
  })
  process.off('SIGINT', passOn).off('SIGTERM', passOn)
  console.log(
    `── ${title}: ${code === 0 ? 'ok' : `failed (${code})`} after ${((Date.now() - startedAtMs) / 1000).toFixed(1)} s`,
  )
  return code === 0
}
