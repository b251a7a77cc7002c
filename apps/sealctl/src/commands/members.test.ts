import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { sharesMember, tpmMember } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { runHere, type World } from '../testing/run-here.ts'

const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere([...args, '--socket', path], world)

describe('sealctl members', () => {
  it('list shows each member with its records, and sends nothing of a label that a terminal would obey', async () => {
    await using control = await controlScope({
      operations: { members: () => [{ ...tpmMember, label: '\u001b[2Jnode' }, sharesMember] },
    })
    const { stdout } = await run(control, ['members', 'list'])
    expect(stdout).toMatch(/^tpm +0101\w+ +\\x1b\[2Jnode +active +1 tpm-sealed, 2 tpm-imported +quantum-exposed$/m)
  })

  it.each([
    ['its label', 'node-a'],
    ['its id', tpmMember.memberId],
  ])('revoke finds a member by %s, and wants its label again', async (_what, name) => {
    await using control = await controlScope()
    const { exitCode, stdout, stderr } = await run(control, ['members', 'revoke', 'tpm', name], {
      ...{ isTerminal: true, input: 'node-a\n' },
    })
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('node-a is shut out\n')])
    expect(stderr).toContain('Type node-a to go on: ')
    expect(control.asked).toMatchObject([
      ['revokeMember', { sealName: 'tpm', memberId: tpmMember.memberId, confirm: 'node-a', drop: [] }],
    ])
  })

  it('revoke does nothing for a member that is not there, or not alone, or not confirmed', async () => {
    await using control = await controlScope({
      operations: { members: () => [tpmMember, { ...tpmMember, memberId: '0f'.repeat(16) }] },
    })
    for (const [name, code, exitCode] of [
      ['nobody', 'SEALCTL_MEMBER_UNKNOWN', 1],
      ['node-a', 'SEALCTL_MEMBER_UNKNOWN', 1],
      [tpmMember.memberId, 'SEALCTL_NOT_CONFIRMED', 5],
    ] as const) {
      const outcome = await run(control, ['members', 'revoke', 'tpm', name, '--confirm', 'x'])
      expect([outcome.exitCode, outcome.stderr]).toEqual([exitCode, expect.stringContaining(code)])
    }
    expect(control.asked).toEqual([])
  })
})

describe('sealctl keyring', () => {
  it('export writes the bytes into a new file for nobody else, or into a pipe', async () => {
    await using control = await controlScope()
    const output = join(control.folder, 'keyring.bin')
    expect(await run(control, ['keyring', 'export', '--output', output, '--json'])).toEqual({
      ...{ exitCode: 0, stderr: '', stdout: `${JSON.stringify({ bytes: 4, output })}\n` },
    })
    expect([...readFileSync(output)]).toEqual([0, 255, 10, 13])
    expect(statSync(output).mode & 0o777).toBe(0o600)
    const again = await run(control, ['keyring', 'export', '--output', output])
    expect([again.exitCode, again.stderr]).toEqual([1, expect.stringContaining('SEALCTL_OUTPUT_UNUSABLE')])
    expect(await run(control, ['keyring', 'export'])).toMatchObject({ exitCode: 0, stdout: '\0\ufffd\n\r' })
    for (const [args, world] of [
      [['keyring', 'export'], { isTerminal: true }],
      [['keyring', 'export', '--json'], {}],
    ] as const) {
      expect((await run(control, args, world)).stderr).toContain('SEALCTL_NO_TERMINAL')
    }
  })

  it('import sends a file or what is piped in, and no more than a keyring can have', async () => {
    await using control = await controlScope()
    const file = join(control.folder, 'keyring.bin')
    writeFileSync(file, 'SWKR')
    expect(await run(control, ['keyring', 'import', file])).toMatchObject({
      stdout: 'the keyring has learned from it; its revision is 7\n',
    })
    expect(await run(control, ['keyring', 'import', '-'], { input: 'SWKR 2' })).toMatchObject({ exitCode: 0 })
    const large = await run(control, ['keyring', 'import', '-'], { input: new Uint8Array(1024 * 1024 + 1) })
    expect([large.exitCode, large.stderr]).toEqual([1, expect.stringContaining('more than 1048576 bytes')])
    expect(control.asked).toMatchObject([
      ['importKeyring', { bytes: 'SWKR' }],
      ['importKeyring', { bytes: 'SWKR 2' }],
    ])
  })
})

describe('sealctl enroll approve', () => {
  const approve = (folder: string) => [
    ...[
      'enroll',
      'approve',
      '--request',
      join(folder, 'req'),
      '--label',
      'node-d',
      '--output',
      join(folder, 'keyring'),
    ],
  ]

  it('wants the fingerprint that the new node shows, and writes the keyring for it', async () => {
    await using control = await controlScope()
    writeFileSync(join(control.folder, 'req'), 'request')
    const { exitCode, stdout, stderr } = await run(control, approve(control.folder), {
      ...{ isTerminal: true, input: ' ab12-cd34 \n' },
    })
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('bring it to the new node')])
    expect(stderr).toBe('Fingerprint that the new node shows: ')
    expect([...readFileSync(join(control.folder, 'keyring'))]).toEqual([1, 2, 3])
    expect(control.asked).toMatchObject([
      ['approveEnrolment', { bytes: 'request', fingerprint: 'ab12-cd34', label: 'node-d' }],
    ])
  })

  it('approves nothing without one', async () => {
    await using control = await controlScope()
    writeFileSync(join(control.folder, 'req'), 'request')
    const { exitCode, stderr } = await run(control, approve(control.folder))
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('give --fingerprint FINGERPRINT')])
    expect(control.asked).toEqual([])
  })
})
