import { execFile } from 'node:child_process'
import { programCommand, type ProgramName } from './programs.ts'
import { SEARCH_PATH } from '@sealwright/testing-rig'

/** What a program that ran to its end left. */
export interface ProgramResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const TIMEOUT_MS = 60_000

/** Runs one of our programs to its end. A failure is a result, not an error. */
export async function runProgramToEnd(name: ProgramName, args: readonly string[]): Promise<ProgramResult> {
  const { command, args: firstArgs } = programCommand(name)
  return await new Promise((resolve, reject) => {
    execFile(
      command,
      [...firstArgs, ...args],
      { env: { PATH: SEARCH_PATH }, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        if (error === null) resolve({ exitCode: 0, stdout, stderr })
        else if (typeof error.code === 'number') resolve({ exitCode: error.code, stdout, stderr })
        else reject(new Error(`${name} was ended: ${error.message}`, { cause: error }))
      },
    )
  })
}
