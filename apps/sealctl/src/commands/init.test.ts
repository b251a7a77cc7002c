import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Secret } from '@sealwright/secret'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { type fakeOperations, sharesMember } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { CLUSTER_ID, realShares } from '../testing/real-shares.ts'
import { runHere, type World } from '../testing/run-here.ts'

const texts = realShares(2, 3)

/** An agent that hands out these shares. */
const scope = (operations: Parameters<typeof fakeOperations>[0] = {}) =>
  controlScope({ operations: { initialise: () => Promise.resolve(handedOut()), ...operations } })
const handedOut = () => ({
  ...{ member: sharesMember, clusterId: CLUSTER_ID },
  shares: texts.map(text => new Secret(Buffer.from(text))),
})
const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere(['init', '--socket', path, ...args], world)
const SHARED = ['--seal', 'people', '--shares', '3', '--threshold', '2']

const asOften = ({ asked }: ControlScope): number => asked.filter(([name]) => name === 'confirmShares').length

describe('sealctl init', () => {
  it('gives a seal with a device its record, and needs no terminal for it', async () => {
    await using control = await controlScope()
    const { exitCode, stdout } = await run(control, ['-seal=tpm', '--label', 'node-a'])
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^tpm +0101\w+ +node-a +active/m)])
    expect(control.asked).toMatchObject([['initialise', { sealName: 'tpm', label: 'node-a' }]])
  })

  it('writes a card a share into a new folder, for nobody else, that can be read back', async () => {
    await using control = await scope()
    const folder = join(control.folder, 'cards')
    const { exitCode, stdout, stderr } = await run(control, [...SHARED, '--output', folder, '--json'])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ clusterId: CLUSTER_ID, member: { label: 'board' } },
      files: ['share-1-of-3', 'share-2-of-3', 'share-3-of-3'],
    })
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    for (const [index, text] of texts.entries()) {
      const path = join(folder, `share-${index + 1}-of-3`)
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(readFileSync(path, 'utf8')).toBe(
        `# Sealwright share ${index + 1} of 3: any 2 of them open the seal people, set board\n` +
          `# of the cluster ${CLUSTER_ID}, made on 2026-01-02. Show it to nobody.\n${text}\n`,
      )
    }
    const files = readdirSync(folder).flatMap(name => ['--share-file', join(folder, name)])
    const rehearsed = await runHere(['rehearse', '--socket', control.path, ...files])
    expect(rehearsed.stdout).toContain('these shares would open the seal people')
    expect(control.asked).toMatchObject([
      ['confirmShares', { sealName: 'people', memberId: sharesMember.memberId }],
      ['rehearse', { shares: texts }],
    ])
    for (const text of texts) expect(stdout).not.toContain(text)
  })

  it('shows the cards on a terminal, and says what to do with them', async () => {
    await using control = await scope()
    const { exitCode, stdout } = await run(control, SHARED, { isTerminal: true })
    expect(exitCode).toBe(0)
    for (const text of texts) expect(stdout).toContain(`\n${text}\n`)
    expect(stdout).toContain('Give each share to another person')
    expect(asOften(control)).toBe(1)
  })

  it('has shares open nothing that were not all written, and says so', async () => {
    let folder = ''
    await using control = await scope({
      initialise: () => {
        // In the place of a disk that is full.
        writeFileSync(join(folder, 'share-2-of-3'), '')
        return Promise.resolve(handedOut())
      },
    })
    folder = join(control.folder, 'cards')
    const { exitCode, stdout, stderr } = await run(control, [...SHARED, '--output', folder])
    expect([exitCode, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/The shares of this set open nothing.*\n[^]*SEALCTL_OUTPUT_UNUSABLE/)
    expect(asOften(control)).toBe(0)
  })

  it('says which set it is where the agent does not confirm that its shares count', async () => {
    await using control = await scope({
      confirmShares: () => Promise.reject(Object.assign(new Error('no seal opens'), { code: 'CUSTODY_SEALED' })),
    })
    const { exitCode, stdout, stderr } = await run(control, SHARED, { isTerminal: true })
    expect(exitCode).not.toBe(0)
    expect(stdout).not.toContain('Give each share to another person')
    expect(stderr).toContain(`This one is ${sharesMember.memberId}.`)
    expect(stderr).toContain('CUSTODY_SEALED')
  })

  it.each<[string, readonly string[], World, string]>([
    ['no terminal would show them', SHARED, {}, 'SEALCTL_NO_TERMINAL'],
    ['they would end up in JSON', [...SHARED, '--json'], { isTerminal: true }, 'SEALCTL_NO_TERMINAL'],
    ['nobody says how many', ['--seal', 'people'], { isTerminal: true }, 'SEALCTL_USAGE'],
    ['they would never be enough', [...SHARED.slice(0, -1), '5'], { isTerminal: true }, 'SEALCTL_USAGE'],
  ])('makes no shares where %s', async (_what, args, world, code) => {
    await using control = await controlScope()
    const { exitCode, stderr } = await run(control, args, world)
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`sealctl: ${code}: `)])
    expect(control.asked).toEqual([])
  })

  it.each<[string, (folder: string) => void]>([
    [
      'has files',
      folder => {
        mkdirSync(folder, { mode: 0o700 })
        writeFileSync(join(folder, 'x'), '')
      },
    ],
    [
      'is a file',
      folder => {
        writeFileSync(folder, '')
      },
    ],
    [
      'is a link',
      folder => {
        symlinkSync('/tmp', folder)
      },
    ],
    [
      'others may write',
      folder => {
        mkdirSync(folder)
        chmodSync(folder, 0o777)
      },
    ],
    [
      'cannot be made',
      folder => {
        writeFileSync(folder.slice(0, folder.lastIndexOf('/')), '')
      },
    ],
  ])('makes no shares for a folder that %s', async (_what, prepare) => {
    await using control = await controlScope()
    const folder = join(control.folder, _what === 'cannot be made' ? 'file/cards' : 'cards')
    prepare(folder)
    const { exitCode, stderr } = await run(control, [...SHARED, '--output', folder])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('sealctl: SEALCTL_OUTPUT_UNUSABLE: ')])
    expect(control.asked).toEqual([])
  })

  it('takes no number of shares that cannot be', async () => {
    await using control = await controlScope()
    for (const count of ['1', '256', '2.5', 'x']) {
      const { exitCode, stderr } = await run(control, ['--seal', 'people', '--shares', count, '--threshold', '2'])
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining('a whole number from 2 to 255')])
    }
  })
})
