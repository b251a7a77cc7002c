import { spawn, spawnSync } from 'node:child_process'
import { SetupError } from './say.mjs'

/**
 * Runs a program and sends what it prints to stderr while it works.
 *
 * @throws {SetupError} with the program's exit code, if it is not 0.
 */
export async function run(command, args, { cwd, env } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 2, 2] })
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (exitCode, signal) => resolve(exitCode ?? signal))
  }).catch(cause => {
    throw new SetupError(`cannot run ${command}: ${cause.message}`, { cause })
  })
  if (code !== 0) throw new SetupError(`\`${[command, ...args].join(' ')}\` ended with ${code}; its output is above`)
}

/** Whether a quick probe of the host succeeds. Prints nothing. */
export function succeeds(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
