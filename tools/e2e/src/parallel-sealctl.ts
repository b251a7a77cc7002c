import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { programCommand, type ProgramResult, type SealedNode } from '@sealwright/testing-cluster'
import { SEARCH_PATH } from '@sealwright/testing-rig'

const TIMEOUT_MS = 60_000

/** Runs `sealctl` for a node, with this on its standard input, which is a pipe. */
export async function pipeToSealctl(
  node: SealedNode,
  input: string,
  ...args: readonly string[]
): Promise<ProgramResult> {
  const { command, args: firstArgs } = programCommand('sealctl')
  const child = spawn(command, [...firstArgs, ...args, '--socket', node.controlSocketPath], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: SEARCH_PATH },
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  const { promise: ended, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('close', (exitCode, signal) => {
    if (exitCode === null) reject(new Error(`sealctl was ended by ${signal ?? 'nothing'}`))
    else resolve(exitCode)
  })
  child.stdin.end(input)
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { exitCode, stdout, stderr }
}
