import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { RigError } from './error.ts'

/** An ES module that is not worth a file of its own. */
export interface NodeProgram {
  /** Prints a line when it has come to where it is to be looked at, and ends when its input ends. */
  readonly source: string
  /** `process.argv` from 1 on. */
  readonly args: readonly string[]
  /** Where the packages it imports are looked up from. */
  readonly workingDirectory: string
}

/** A {@link NodeProgram} that has printed its line and waits. */
export interface WaitingProgram {
  readonly pid: number
  /** Without the line's end. */
  readonly line: string
}

/**
 * Runs a program in a Node of its own, waits for its line, and ends it after `use`.
 *
 * @throws {@link RigError} `RIG_PROCESS_ENDED` if it ends without a line; what it wrote to stderr is on ours.
 */
export async function withNodeProgram<T>(
  { source, args, workingDirectory }: NodeProgram,
  use: (program: WaitingProgram) => T | Promise<T>,
): Promise<T> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, '--', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: workingDirectory,
  })
  const exited = once(child, 'exit')
  const endedEarly = exited.then(() => {
    throw new RigError('RIG_PROCESS_ENDED', 'the program ended before it printed a line')
  })
  try {
    const [printed] = (await Promise.race([once(child.stdout, 'data'), endedEarly])) as [Buffer]
    if (child.pid === undefined) throw new RigError('RIG_PROCESS_ENDED', 'the program has no process id')
    return await use({ pid: child.pid, line: printed.toString().trimEnd() })
  } finally {
    child.stdin.end()
    await exited
  }
}
