import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Secret } from '@sealwright/secret'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { sharesMember } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { CLUSTER_ID, realShares } from '../testing/real-shares.ts'
import { runHere, type World } from '../testing/run-here.ts'

const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere(['seals', 'add', '--socket', path, ...args], world)
const SHARED = ['people', '--shares', '3', '--threshold', '2']

/** What the agent finds in a file that has nothing new. */
const nothingNew = { added: [], changed: [], removed: [] }

describe('sealctl seals add', () => {
  it('has the file read first, then gives the seal its record, and tells all that the file has brought', async () => {
    await using control = await controlScope()
    const { exitCode, stdout } = await run(control, ['tpm', '--label', 'node-a'])
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^tpm +0101\w+ +node-a +active/m)])
    expect(stdout).toMatch(/^node\.yaml is read anew: added people; changed tpm; removed old\n/)
    expect(control.asked).toMatchObject([
      ['reload', { tend: false }],
      ['initialise', { sealName: 'tpm', label: 'node-a' }],
    ])
  })

  it('does the same again where it was interrupted: the file has nothing new then', async () => {
    const reload = () => Promise.resolve({ ...nothingNew, enabled: ['tpm'] })
    await using control = await controlScope({ operations: { reload } })
    expect((await run(control, ['tpm'])).stdout).toMatch(/^node\.yaml is read anew: no seal has changed\n/)
    expect(JSON.parse((await run(control, ['tpm', '--json'])).stdout)).toMatchObject({
      ...{ clusterId: CLUSTER_ID, member: { seal: 'tpm' }, reloaded: { ...nothingNew, enabled: ['tpm'] } },
    })
  })

  it('hands out the shares of a Shamir seal as init does', async () => {
    const texts = realShares(2, 3)
    await using control = await controlScope({
      operations: {
        initialise: () =>
          Promise.resolve({
            ...{ member: sharesMember, clusterId: CLUSTER_ID },
            shares: texts.map(text => new Secret(Buffer.from(text))),
          }),
      },
    })
    const folder = join(control.folder, 'cards')
    const files = ['share-1-of-3', 'share-2-of-3', 'share-3-of-3']
    const { exitCode, stdout } = await run(control, [...SHARED, '--output', folder, '--json'])
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([0, { files, reloaded: { added: ['people'] } }])
    expect(readdirSync(folder).sort()).toEqual(files)
    for (const text of texts) expect(stdout).not.toContain(text)
    expect((await run(control, SHARED, { isTerminal: true })).stdout).toContain(texts[0])
  })

  it.each<[string, readonly string[], string]>([
    ['nobody says how many', ['people'], 'SEALCTL_USAGE'],
    ['no terminal would show them', SHARED, 'SEALCTL_NO_TERMINAL'],
    ['they would never be enough', [...SHARED.slice(0, -1), '5'], 'SEALCTL_USAGE'],
    ['half is said of a new seal', ['fresh', '--shares', '3'], 'SEALCTL_USAGE'],
  ])('makes no shares, and has no file read, where %s', async (_what, args, code) => {
    await using control = await controlScope()
    const { exitCode, stderr } = await run(control, args)
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`sealctl: ${code}: `)])
    expect(control.asked).toEqual([])
  })

  it('says to write a seal into node.yaml first that is not there, or is disabled', async () => {
    await using control = await controlScope()
    // The keyring knows it: another node has it.
    const { exitCode, stderr } = await run(control, ['gone'])
    expect([exitCode, stderr]).toEqual([
      1,
      'sealctl: SEALCTL_SEAL_UNKNOWN: node.yaml of this node has no seal gone, or has it disabled: write it there first, then run this again\n',
    ])
    expect(control.asked).toMatchObject([['reload', {}]])
  })

  it('initialises nothing by a file that the agent refuses, and passes on its words', async () => {
    const refusal = Object.assign(new Error('node.yaml: seals.1.pin is unknown'), { code: 'CONFIG_INVALID' })
    await using control = await controlScope({ operations: { reload: () => Promise.reject(refusal) } })
    expect(await run(control, ['tpm'])).toEqual({
      ...{ exitCode: 4, stdout: '' },
      stderr: 'sealctl: CONFIG_INVALID: node.yaml: seals.1.pin is unknown\n',
    })
    expect(control.asked).toEqual([])
  })
})
