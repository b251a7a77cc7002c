import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { fakeSeals } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { runHere, type World } from '../testing/run-here.ts'

const run = ({ path }: ControlScope, line: string, world?: World) =>
  runHere([...line.split(' '), '--socket', path], world)

describe('sealctl seals', () => {
  it('list shows every seal, and what is to be said of it', async () => {
    await using control = await controlScope()
    expect(await run(control, 'seals list')).toEqual({
      exitCode: 0,
      stderr: '',
      stdout: [
        'SEAL    TYPE     HERE        MEMBERS  GENERATIONS  REMARKS',
        'tpm     tpm      priority 1  1        1 2          opened this node, 1 quantum-exposed',
        'people  shamir   priority 9  1        2',
        'gone    transit  no          0        none',
        '',
      ].join('\n'),
    })
    expect(JSON.parse((await run(control, 'seals list --json')).stdout)).toMatchObject({ seals: [{}, {}, {}] })
  })

  it('list and read say what is unknown while the node is sealed, and nothing that looks as if there were no shares', async () => {
    const sealed = fakeSeals.slice(0, 2).map(seal => ({ ...seal, members: undefined, hasOpened: false }))
    await using control = await controlScope({ operations: { seals: () => sealed } })
    const { stdout } = await run(control, 'seals list')
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      'SEAL    TYPE    HERE        MEMBERS  GENERATIONS  REMARKS',
      'tpm     tpm     priority 1  unknown  unknown      unknown: this node is sealed',
      'people  shamir  priority 9  unknown  unknown      unknown: this node is sealed',
    ])
    expect(stdout).toContain('Shares that were handed out still open it')
    const read = await run(control, 'seals read people')
    expect(read.stdout).toMatch(/^remarks +unknown: this node is sealed$/m)
    for (const text of [stdout, read.stdout]) expect(text).not.toMatch(/not initialised|no member|sealctl init/)
    const [first] = (JSON.parse((await run(control, 'seals list --json')).stdout) as { seals: object[] }).seals
    expect(first).toEqual({ name: 'tpm', type: 'tpm', opened: false, configured: { priority: 1, disabled: false } })
  })

  it('read shows the members of one seal and their records', async () => {
    await using control = await controlScope()
    const { stdout } = await run(control, 'seals read people')
    expect(stdout).toMatch(/^people +0202\w+ +board +active +gen 2: shamir-hybrid +2 of 3 shares$/m)
    expect(await run(control, 'seals read none')).toEqual({
      ...{ exitCode: 4, stdout: '' },
      stderr: 'sealctl: CONTROL_SEAL_UNKNOWN: there is no seal none here\n',
    })
  })

  it('status tells one seal of this node', async () => {
    await using control = await controlScope()
    const { exitCode, stdout } = await run(control, 'seals status tpm')
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^health +opens, unwrapped \d+ h ago in 12 ms$/m)])
    expect(stdout).toMatch(/^node +sealed$/m)
  })

  it('status tells the sets of a Shamir seal, and which shares are in', async () => {
    await using control = await controlScope()
    const none = await run(control, 'seals status people')
    expect(none).toMatchObject({ exitCode: 0, stderr: '' })
    expect(none.stdout).toMatch(/^health +opens by shares of people$/m)
    expect(none.stdout).toMatch(/^shares +board: 2 of 3 shares open it, none is in$/m)
    const set = { sealName: 'people', setLabel: 'board', threshold: 3, count: 5, nonce: 'ab', isComplete: false }
    await using two = await controlScope({
      operations: { shareSets: () => Promise.resolve([{ ...set, entered: [1, 4] }]) },
    })
    expect((await run(two, 'seals status people')).stdout).toMatch(
      /^shares +board: 3 of 5 shares open it, in: 2 of 3 \(1, 4\)$/m,
    )
    await using fresh = await controlScope({ operations: { shareSets: () => Promise.resolve([]) } })
    expect((await run(fresh, 'seals status people')).stdout).toMatch(
      /^shares +none were made yet: sealctl init --seal/m,
    )
  })

  it('delete wants the name again, on the terminal or as an option', async () => {
    await using control = await controlScope()
    const asked = await run(control, 'seals delete gone', { isTerminal: true, input: 'gone\n' })
    expect(asked).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('the seal gone is removed') as string })
    expect(asked.stderr).toContain('Type gone to go on: ')
    const nodes = '--checked node-a --checked node-b'
    expect(await run(control, `seals delete gone ${nodes} --confirm gone --json`)).toEqual({
      ...{ exitCode: 0, stderr: '', stdout: '{"deleted":"gone"}\n' },
    })
    expect(control.asked).toMatchObject([
      ['deleteSeal', { sealName: 'gone', confirm: 'gone', checkedNodes: [] }],
      ['deleteSeal', { sealName: 'gone', confirm: 'gone', checkedNodes: ['node-a', 'node-b'] }],
    ])
  })

  it.each<[string, string, World, string, number]>([
    ['another name', 'seals delete gone --confirm tpm', {}, 'SEALCTL_NOT_CONFIRMED', 5],
    ['another name typed', 'seals delete gone', { isTerminal: true, input: 'tpm\n' }, 'SEALCTL_NOT_CONFIRMED', 5],
    ['nothing typed', 'seals delete gone', { isTerminal: true }, 'SEALCTL_NOT_CONFIRMED', 5],
    ['nobody to ask', 'seals delete gone', { input: 'gone\n' }, 'SEALCTL_NO_TERMINAL', 1],
  ])('delete deletes nothing with %s', async (_what, line, world, code, exitCode) => {
    await using control = await controlScope()
    const outcome = await run(control, line, world)
    expect([outcome.exitCode, outcome.stderr]).toEqual([exitCode, expect.stringContaining(`sealctl: ${code}: `)])
    expect(control.asked).toEqual([])
  })
})
