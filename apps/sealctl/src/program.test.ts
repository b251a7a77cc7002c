import { join } from 'node:path'
import { controlScope } from '../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { runHere } from './testing/run-here.ts'

/** An error of an operation, as its library throws it. */
class Refused extends Error {
  readonly code: string
  constructor(code: string) {
    super(`words of ${code}\u001b[2J`)
    this.code = code
  }
}

describe('sealctl', () => {
  it.each([
    ['OPERATION_LAST_WAY_IN', 4],
    ['OPERATION_INVALID', 4],
    ['OPERATION_NOT_CONFIRMED', 5],
    ['RAFT_SNAPSHOT_NOT_GZIP', 1],
    ['KEYRING_MALFORMED', 1],
    ['ENROLMENT_REQUEST_MALFORMED', 1],
    ['CUSTODY_SEALED', 6],
    ['TPM_UNREACHABLE', 6],
  ])('passes on %s with its words, ends with %d, and says so in JSON if asked to', async (code, exitCode) => {
    await using control = await controlScope({ operations: { rotate: () => Promise.reject(new Refused(code)) } })
    const args = ['rotate', '--socket', control.path]
    const stderr = `sealctl: ${code}: words of ${code}\\x1b[2J\n`
    expect(await runHere(args)).toEqual({ exitCode, stdout: '', stderr })
    expect(await runHere([...args, '--json'])).toEqual({
      ...{ exitCode, stderr },
      stdout: `${JSON.stringify({ errors: [`words of ${code}\u001b[2J`], code })}\n`,
    })
  })

  it('ends with 1 for a failure of the agent, for no agent and for wrong use', async () => {
    await using control = await controlScope({ operations: { rotate: () => Promise.reject(new Error('a bug')) } })
    expect(await runHere(['rotate', '--socket', control.path])).toMatchObject({
      ...{ exitCode: 1, stderr: 'sealctl: CONTROL_INTERNAL: internal error, see the log of the agent\n' },
    })
    const nobody = join(control.folder, 'nobody')
    expect(await runHere(['status', '--socket', nobody, '--json'])).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('"code":"CONTROL_NO_AGENT"') as string,
    })
  })

  it.each([
    [['nonsense'], "unknown command 'nonsense'; see sealctl --help"],
    [['sttus'], "unknown command 'sttus' (Did you mean status?); see sealctl --help"],
    [['seals'], 'a command is missing, one of list, read, status, add, delete; see sealctl seals --help'],
    [['init'], "required option '--seal <name>' not specified; see sealctl init --help"],
    [['seals', 'read'], "missing required argument 'name'; see sealctl seals read --help"],
    [['rotate', '--drop'], "option '--drop <member>' argument missing; see sealctl rotate --help"],
    [['status', '--\u001b[2J'], "unknown option '--\\x1b[2J'; see sealctl status --help"],
    [
      ['init', '--seal', 's', '--shares', '1'],
      "option '--shares <number>' argument '1' is invalid. It must be a whole number from 2 to 255; see sealctl init --help",
    ],
  ])('tells of wrong use in a line: %j', async (args, told) => {
    expect(await runHere(args)).toEqual({ exitCode: 1, stdout: '', stderr: `sealctl: SEALCTL_USAGE: ${told}\n` })
  })

  it('tells of wrong use in JSON too, and of a missing command', async () => {
    const { stdout } = await runHere(['seals', 'read', '--json'])
    expect(JSON.parse(stdout)).toEqual({
      errors: ["missing required argument 'name'; see sealctl seals read --help"],
      code: 'SEALCTL_USAGE',
    })
    const { stderr } = await runHere([])
    expect(stderr).toMatch(
      /^sealctl: SEALCTL_USAGE: a command is missing, one of status, seals, .*; see sealctl --help\n$/,
    )
  })

  it('says for every command what it does, with examples and exit codes', async () => {
    const commands = [
      ...['status', 'init', 'unseal', 'rehearse', 'rotate', 'rotate retire', 'generations', 'enroll approve'],
      ...['seals list', 'seals read', 'seals status', 'seals add', 'seals delete', 'members list', 'members revoke'],
      ...['keyring export', 'keyring import'],
    ]
    for (const command of commands) {
      const { exitCode, stdout } = await runHere([...command.split(' '), '--help'])
      expect([command, exitCode]).toEqual([command, 0])
      expect(stdout).toContain(`Usage: sealctl ${command} `)
      expect(stdout).toContain(`\nExamples:\n  sealctl ${command}`)
      expect(stdout).toContain('\nExit codes: 0 done or ready')
    }
  })

  it('gives an option that stands behind a lower command to that one', async () => {
    await using control = await controlScope()
    const { exitCode } = await runHere([
      'rotate',
      'retire',
      '--snapshot',
      '-',
      '--socket',
      control.path,
      '--timeout',
      '5',
    ])
    // The agent was reached: it misses the snapshot.
    expect(exitCode).toBe(4)
    expect(await runHere(['generations', '--socket', control.path, '--timeout', '0'])).toMatchObject({ exitCode: 1 })
  })

  it('is ended by its signal', async () => {
    const controller = new AbortController()
    await using control = await controlScope({
      operations: {
        rotate: async (_request, signal) => {
          controller.abort(new Error('stopped by SIGINT'))
          await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reject(new Error('gone'))
            })
          })
          throw new Error('not reached')
        },
      },
    })
    await expect(runHere(['rotate', '--socket', control.path], { signal: controller.signal })).rejects.toThrow(
      'stopped by SIGINT',
    )
  })
})
