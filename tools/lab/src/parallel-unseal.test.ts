import { existsSync } from 'node:fs'
import { waitUntil } from '@sealwright/testing-rig'
import { figuresOf, folderOf, processesIn, startLab } from './testing/lab-run.ts'

describe('the story of Parallel Unseal', () => {
  it('holds on real parts, and tells its figures as JSON on the last line', async () => {
    const { output, ended } = startLab('lab', 'parallel-unseal', '--', '--json')
    const exitCode = await ended
    expect([exitCode, exitCode === 0 ? '' : output()]).toEqual([0, ''])
    expect(figuresOf(output())).toMatchObject({
      opened: ['tpm', 'hsm', 'backup', 'emergency'],
      rotationsWithOneOffline: 3,
      generationsRetired: 3,
      secretIntact: true,
      recoveredFromSnapshotWithSharesOnly: true,
      staticTakenOverWithoutMigration: true,
    })
    expect(output()).toContain('recovered everything from a snapshot and shares alone')
    const folder = folderOf(output())
    expect([existsSync(folder), processesIn(folder)]).toEqual([false, []])
  })

  it('ends all that it started when it is interrupted in the middle', async () => {
    const { child, output, ended } = startLab('lab', 'parallel-unseal')
    await waitUntil(() => output().includes('✓'), { what: 'the first step', timeoutMs: 120_000 })
    const folder = folderOf(output())
    expect(processesIn(folder).length).toBeGreaterThan(6)
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect([existsSync(folder), processesIn(folder)]).toEqual([false, []])
  })
})
