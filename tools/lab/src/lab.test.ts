import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findProcesses, repositoryRoot, waitUntil } from '@sealwright/testing-rig'
import { type LabFigures } from './story.ts'

interface LabRun {
  readonly child: ChildProcess
  readonly output: () => string
  readonly ended: Promise<number | null>
}

/** Starts the lab as `npm start` does after its set-up. */
function startLab(...args: readonly string[]): LabRun {
  const root = repositoryRoot()
  const child = spawn(process.execPath, [join(root, 'tools/lab/src/main.ts'), ...args], { cwd: root })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  return { child, output: () => Buffer.concat(chunks).toString(), ended }
}

function folderOf(output: string): string {
  const folder = /all on loopback \((\S+)\)/.exec(output)?.[1]
  if (folder === undefined) throw new Error(`the lab named no folder: ${output}`)
  return folder
}

const processesIn = (folder: string) =>
  findProcesses(({ commandLine }) => commandLine.some(argument => argument.includes(`${folder}/`)))

describe('the lab', () => {
  it('proves that a cluster without power opens itself, and tells its figures as JSON on the last line', async () => {
    const { output, ended } = startLab('--once', '--json')
    expect([await ended, output()]).toEqual([0, expect.stringContaining('secret intact')])
    const figures = JSON.parse(output().trimEnd().split('\n').at(-1) ?? '') as LabFigures
    expect(figures).toMatchObject({ nodes: 3, unsealedAfterRestart: 3, quorumHealthy: true, secretIntact: true })
    for (const name of ['coldStartMs', 'nodeRestartToActiveMs', 'tpmUnsealMs'] as const) {
      expect(figures[name]).toBeGreaterThan(0)
    }
    const folder = folderOf(output())
    expect(existsSync(folder)).toBe(false)
    expect(processesIn(folder)).toEqual([])
  })

  it('ends all that it started when it is interrupted in the middle', async () => {
    const { child, output, ended } = startLab('--once')
    await waitUntil(() => output().includes('agents and OpenBao servers start'), {
      what: 'the servers',
      timeoutMs: 60_000,
    })
    const folder = folderOf(output())
    expect(processesIn(folder).length).toBeGreaterThan(6)
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(processesIn(folder)).toEqual([])
    expect(existsSync(folder)).toBe(false)
  })
})
