import { existsSync } from 'node:fs'
import { waitUntil } from '@sealwright/testing-rig'
import { type LabFigures } from './story.ts'
import { figuresOf, folderOf, processesIn, startLab } from './testing/lab-run.ts'

describe('the lab', () => {
  it('proves that a cluster without power opens itself, and tells its figures as JSON on the last line', async () => {
    const { output, ended } = startLab('main', '--once', '--json')
    expect([await ended, output()]).toEqual([0, expect.stringContaining('secret intact')])
    const figures = figuresOf(output()) as LabFigures
    expect(figures).toMatchObject({ nodes: 3, unsealedAfterRestart: 3, quorumHealthy: true, secretIntact: true })
    for (const name of ['coldStartMs', 'nodeRestartToActiveMs', 'tpmUnsealMs'] as const) {
      expect(figures[name]).toBeGreaterThan(0)
    }
    const folder = folderOf(output())
    expect(existsSync(folder)).toBe(false)
    expect(processesIn(folder)).toEqual([])
  })

  it('ends all that it started when it is interrupted in the middle', async () => {
    const { child, output, ended } = startLab('main', '--once')
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
