import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { runHere, type World } from '../testing/run-here.ts'

const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere([...args, '--socket', path], world)
const MEBIBYTE = 1024 * 1024

describe('sealctl rotate', () => {
  it('says what was wrapped, and what has to be done now', async () => {
    await using control = await controlScope()
    const { exitCode, stdout } = await run(control, ['rotate'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^generation 3 \(key sw-3\) encrypts from now on\nwrapped for tpm\/node-a \(0101/)
    expect(stdout).toContain('have OpenBao re-wrap its root key, on any node: bao write -f sys/rotate/root')
    expect(stdout).toContain('sealctl rotate retire --snapshot FILE')
    const told = [
      'sealctl generations there',
      'sys/rotate/root',
      'step-down',
      'keyring import',
      'snapshot save',
      'retire --snapshot',
    ]
    const places = told.map(words => stdout.indexOf(words))
    expect(places).toEqual(places.toSorted((one, other) => one - other))
    expect(places).not.toContain(-1)
  })

  it('retire sends a snapshot while it is read, from a file or a pipe', async () => {
    await using control = await controlScope()
    const snapshot = join(control.folder, 'snap')
    writeFileSync(snapshot, Buffer.alloc(3 * MEBIBYTE))
    const { exitCode, stdout, stderr } = await run(
      control,
      ['rotate', 'retire', '--snapshot', snapshot, '--lost', 'node-b', '--lost', 'node-c'],
      { isTerminal: true },
    )
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^1 +sw-1 +active +chained$/m)])
    expect(stdout).toContain('retired now: 1\n')
    expect(stderr).toContain('\r3 MiB')
    expect(await run(control, ['rotate', 'retire', '--snapshot', '-', '--json'], { input: 'snapshot' })).toMatchObject({
      exitCode: 0,
      stderr: '',
    })
    expect(control.asked).toMatchObject([
      ['retire', { snapshot: 3 * MEBIBYTE, lostNodes: ['node-b', 'node-c'] }],
      ['retire', { snapshot: 8, lostNodes: [] }],
    ])
  })

  it('retire says that a snapshot cannot be read', async () => {
    await using control = await controlScope()
    const { exitCode, stderr } = await run(control, ['rotate', 'retire', '--snapshot', join(control.folder, 'none')])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('SEALCTL_INPUT_UNREADABLE: cannot read')])
    expect(control.asked).toEqual([])
  })

  it('has a list of generations beside it', async () => {
    await using control = await controlScope()
    const { stdout } = await run(control, ['generations'])
    expect(stdout).toMatch(/^2 +sw-2 +active +chained +current$/m)
  })
})
