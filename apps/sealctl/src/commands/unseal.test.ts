import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { NONCE } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { realShares } from '../testing/real-shares.ts'
import { runHere, type World } from '../testing/run-here.ts'

const [first = '', second = '', third = ''] = realShares(2, 3)

const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere(['unseal', '--socket', path, ...args], world)

class Refused extends Error {
  readonly code = 'SHAMIR_SHARE_WRONG'
}

describe('sealctl unseal', () => {
  it('asks on a terminal until the node is open, and says how far it is', async () => {
    await using control = await controlScope()
    const input = `${first}\r${second}\r${third}\r`
    const { exitCode, stdout, stderr } = await run(control, ['-seal=people'], { isTerminal: true, input })
    expect([exitCode, stdout]).toEqual([0, 'this node is open, by the seal people, set board\n'])
    expect(stderr).toContain('share 1 is in: 1 of 2 shares\n')
    expect(stderr).toContain('share 2 is in: 2 of 2 shares\n')
    expect(stderr).not.toContain('sw-share')
    expect(control.asked).toMatchObject([
      ['enterShare', { sealName: 'people', nonce: undefined, share: first }],
      ['enterShare', { sealName: 'people', nonce: NONCE, share: second }],
    ])
  })

  it('lets each person enter one, and ends with 2 while more are needed', async () => {
    await using control = await controlScope()
    const { exitCode, stdout } = await run(control, [], { isTerminal: true, input: `${first}\r\r` })
    expect([exitCode, stdout]).toEqual([2, '1 of 2 shares for the seal people, set board: 1 more is needed\n'])
    const other = await run(control, ['--json'], { input: second })
    expect([other.exitCode, JSON.parse(other.stdout)]).toMatchObject([0, { entered: [1, 2], complete: true }])
  })

  it('takes a share as its card has it: in lines, in capitals', async () => {
    await using control = await controlScope()
    const groups = second.toUpperCase().split('-')
    const lines = [groups.slice(0, 9), groups.slice(9, 15), groups.slice(15)].map(line => line.join('-'))
    const { exitCode } = await run(control, [], { isTerminal: true, input: `${first}\r${lines.join('\r')}\r` })
    expect(exitCode).toBe(0)
    expect(control.asked).toMatchObject([
      ['enterShare', { share: first }],
      ['enterShare', { share: second }],
    ])
  })

  it('names the group of a typing error before the agent sees it, and asks again', async () => {
    await using control = await controlScope()
    const digit = first[30] === 'x' ? 'y' : 'x'
    const mistyped = `${first.slice(0, 30)}${digit}${first.slice(31)}`
    const input = `${mistyped}\r${first}\r${second}\r`
    const { exitCode, stderr } = await run(control, [], { isTerminal: true, input })
    expect(exitCode).toBe(0)
    expect(stderr).toMatch(/SHAMIR_SHARE_MISTYPED: .*group 3/)
    expect(control.asked).toHaveLength(2)
  })

  it('asks again for a share that the agent refuses', async () => {
    let calls = 0
    await using control = await controlScope({
      operations: {
        enterShare: () => {
          calls += 1
          return Promise.reject(new Refused('share 1 is not the one that was handed out'))
        },
      },
    })
    const { stderr } = await run(control, [], { isTerminal: true, input: `${first}\r${second}\r\r` })
    expect(calls).toBe(2)
    expect(stderr).toContain('SHAMIR_SHARE_WRONG: share 1 is not the one that was handed out\n')
  })

  it('takes cards from files and from a pipe', async () => {
    await using control = await controlScope()
    const paths = [0, 1].map(index => join(control.folder, `card-${index}`))
    for (const [index, path] of paths.entries()) {
      writeFileSync(path, `# a card\n${[first, second][index] ?? ''}\n`, { mode: 0o600 })
    }
    const files = paths.flatMap(path => ['--share-file', path])
    expect(await run(control, files)).toMatchObject({ exitCode: 0 })
    expect(await run(control, ['--reset'])).toMatchObject({ exitCode: 0, stdout: 'no shares are in: begin anew\n' })
    expect(await run(control, [], { input: `${first}\n${second}\n` })).toMatchObject({ exitCode: 0 })
    expect(control.asked.map(([name]) => name)).toEqual([
      ...['enterShare', 'enterShare', 'resetShares', 'enterShare', 'enterShare'],
    ])
  })

  it.each<[string, World, string]>([
    ['nothing is piped in', {}, 'SEALCTL_NO_SHARE'],
    ['no share is piped in', { input: 'hello' }, 'SHAMIR_SHARE_MALFORMED'],
    ['far too much is piped in', { input: 'x'.repeat(2_000_000) }, 'SEALCTL_INPUT_UNREADABLE'],
  ])('enters nothing where %s', async (_what, world, code) => {
    await using control = await controlScope()
    const { exitCode, stderr } = await run(control, [], world)
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`sealctl: ${code}: `)])
    expect(control.asked).toEqual([])
  })

  it('takes no file that others may read', async () => {
    await using control = await controlScope()
    const path = join(control.folder, 'card')
    writeFileSync(path, first, { mode: 0o644 })
    const { exitCode, stderr } = await run(control, ['--share-file', path])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('SECRET_FILE_UNSAFE')])
  })

  it('never prints a share, whatever goes wrong', async () => {
    await using control = await controlScope({
      operations: {
        enterShare: ({ share }) => Promise.reject(new Error(share.reveal(bytes => Buffer.from(bytes).toString()))),
      },
    })
    const half = first.slice(0, 90)
    const inputs = [first, half, `${first}${second}`, `x${first}`, first.replaceAll('-', '')]
    for (const args of [[], ['--json']]) {
      for (const input of inputs) {
        const outcomes = [
          await run(control, args, { input }),
          await run(control, args, { isTerminal: true, input: `${input}\r\r` }),
        ]
        for (const { stdout, stderr } of outcomes) expect(`${stdout}${stderr}`).not.toContain(first.slice(60, 80))
      }
    }
    expect(JSON.stringify(control.asked)).not.toContain(first.slice(60, 80))
  })
})

describe('sealctl rehearse', () => {
  const rehearse = ({ path }: ControlScope, args: readonly string[], world?: World) =>
    runHere(['rehearse', '--socket', path, ...args], world)

  it('asks for as many shares as it takes, and opens nothing', async () => {
    await using control = await controlScope()
    const input = `${first}\r${second}\r${third}\r`
    const { exitCode, stdout } = await rehearse(control, ['--seal', 'people'], { isTerminal: true, input })
    expect([exitCode, stdout]).toEqual([
      0,
      'share 1 is right\nshare 2 is right\nthese shares would open the seal people, set board; nothing was opened\n',
    ])
    expect(control.asked).toMatchObject([['rehearse', { sealName: 'people', shares: [first, second] }]])
  })

  it('ends with 2 where they are not enough, and names the wrong one', async () => {
    await using control = await controlScope()
    const alone = await rehearse(control, [], { input: first })
    expect([alone.exitCode, alone.stdout]).toEqual([2, expect.stringContaining('would NOT open the seal people')])
    const three = await rehearse(control, ['--json'], { input: `${first}\n${second}\n${third}` })
    expect([three.exitCode, JSON.parse(three.stdout)]).toMatchObject([0, { shares: [{}, {}, { right: false }] }])
  })

  it('tells a share that is wrong from one that was given before or belongs elsewhere', async () => {
    const faults = [
      { code: 'SHAMIR_SHARE_REPEATED', message: 'share 1 was brought before' },
      { code: 'SHAMIR_SHARE_WRONG', message: 'it was changed' },
      { code: 'SHAMIR_OTHER_SET', message: 'this share is of the set old, which was removed' },
    ]
    const shares = [
      { index: 1, isRight: true },
      ...faults.map((fault, position) => ({ index: position + 1, isRight: false, fault })),
    ]
    const found = { sealName: 'people', setLabel: 'board', threshold: 2, isQuorum: false, shares }
    await using control = await controlScope({ operations: { rehearse: () => Promise.resolve(found) } })
    const { exitCode, stdout } = await rehearse(control, [], { input: first })
    expect([exitCode, stdout.split('\n').slice(0, 4)]).toEqual([
      2,
      [
        'share 1 is right',
        'share 1 was given before: it counts once',
        'share 2 is WRONG: it was changed',
        'share 3 does not count: this share is of the set old, which was removed',
      ],
    ])
    const json = JSON.parse((await rehearse(control, ['--json'], { input: first })).stdout) as { shares: unknown }
    expect(json.shares).toMatchObject([{ right: true }, ...faults.map(fault => ({ right: false, fault }))])
  })

  it('needs a share', async () => {
    await using control = await controlScope()
    expect(await rehearse(control, [], { isTerminal: true, input: '\r' })).toMatchObject({
      ...{ exitCode: 1, stderr: expect.stringContaining('SEALCTL_NO_SHARE') as string },
    })
  })
})
