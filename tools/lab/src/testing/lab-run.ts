import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { findProcesses, repositoryRoot } from '@sealwright/testing-rig'

export interface LabRun {
  readonly child: ChildProcess
  readonly output: () => string
  readonly ended: Promise<number | null>
}

/** Starts a program of the lab as npm does after its set-up. */
export function startLab(program: 'main' | 'lab', ...args: readonly string[]): LabRun {
  const root = repositoryRoot()
  const child = spawn(process.execPath, [join(root, 'tools/lab/src', `${program}.ts`), ...args], { cwd: root })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  return { child, output: () => Buffer.concat(chunks).toString(), ended }
}

/** The folder that a lab names in its first line. */
export function folderOf(output: string): string {
  const folder = / \((\/[^\s)]+)\)/.exec(output)?.[1]
  if (folder === undefined) throw new Error(`the lab named no folder: ${output}`)
  return folder
}

/** What still runs with files of this folder. */
export const processesIn = (folder: string): readonly unknown[] =>
  findProcesses(({ commandLine }) => commandLine.some(argument => argument.includes(`${folder}/`)))

/** What `--json` prints on the last line. */
export function figuresOf(output: string): unknown {
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '')
}
