import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { memberSetFingerprint } from '@sealwright/control-api'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { sharesMember, tpmMember } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { runHere, type World } from '../testing/run-here.ts'

const NODES = ['--nodes', 'node-a,node-b']
const onlyShares = memberSetFingerprint([sharesMember.fingerprint])

const run = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere([...args, '--socket', path], world)

describe('sealctl members', () => {
  it('list shows each member with its records, and sends nothing of a label that a terminal would obey', async () => {
    await using control = await controlScope({
      operations: { members: () => [{ ...tpmMember, label: '\u001b[2Jnode' }, sharesMember] },
    })
    const { stdout } = await run(control, ['members', 'list'])
    expect(stdout).toMatch(
      /^tpm +0101\w+ +\\x1b\[2Jnode +active +gen 1: tpm-sealed, gen 2: tpm-imported +quantum-exposed$/m,
    )
    const fingerprint = memberSetFingerprint([tpmMember.fingerprint, sharesMember.fingerprint])
    expect(stdout).toContain(`fingerprint of the active members: ${fingerprint}\n`)
  })

  it.each([
    ['its label', 'node-a'],
    ['its id', tpmMember.memberId],
  ])('revoke finds a member by %s, and wants its label again', async (_what, name) => {
    await using control = await controlScope()
    const { exitCode, stdout, stderr } = await run(control, ['members', 'revoke', 'tpm', name, ...NODES], {
      ...{ isTerminal: true, input: 'node-a\n' },
    })
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('node-a is shut out\n')])
    expect(stderr).toContain('Type node-a to go on: ')
    const staying = { memberId: tpmMember.memberId, confirm: 'node-a', drop: [], members: onlyShares }
    // Nobody is taken for lost by that: another TPM of the server may be meant to stay.
    const servers = { nodes: ['node-a', 'node-b'], lost: [] }
    expect(control.asked).toMatchObject([['revokeMember', { sealName: 'tpm', ...staying, ...servers }]])
  })

  it('revoke shows who gets the next key and who is removed, before it asks', async () => {
    await using control = await controlScope()
    const { stderr } = await run(control, ['members', 'revoke', 'tpm', 'node-a', ...NODES], {
      ...{ isTerminal: true, input: 'node-a\n' },
    })
    const [staying, leaving] = stderr.split('These are removed:')
    expect(staying).toMatch(/^people +shamir +board +0202\w+ +b2b2\w+ +gen 2: shamir-hybrid +2 of 3 shares$/m)
    expect(staying).not.toContain('node-a')
    expect(leaving).toMatch(/^tpm +tpm +node-a +0101\w+ +a1a1\w+ /m)
    expect(leaving).toContain(`fingerprint of the members that stay: ${onlyShares}\n`)
  })

  it('revoke asks once: whoever gives the label beforehand is asked about the members, and whoever gives both is not', async () => {
    await using control = await controlScope()
    const revoke = ['members', 'revoke', 'tpm', 'node-a', '--confirm', 'node-a', ...NODES]
    const typed = await run(control, revoke, { isTerminal: true, input: `${onlyShares.slice(0, 8)}\n` })
    expect([typed.exitCode, typed.stderr.match(/Type \w+ to go on/g)]).toEqual([0, [expect.anything()]])
    const mistyped = await run(control, revoke, { isTerminal: true, input: 'node-a\n' })
    expect([mistyped.exitCode, mistyped.stderr]).toEqual([5, expect.stringContaining('SEALCTL_NOT_CONFIRMED')])
    expect(await run(control, [...revoke, '--members', onlyShares])).toMatchObject({ exitCode: 0, stderr: '' })
    expect(control.asked).toMatchObject([
      ['revokeMember', { members: onlyShares }],
      ['revokeMember', { members: onlyShares }],
    ])
  })

  it('revoke without a terminal names all that stands in for it', async () => {
    await using control = await controlScope()
    const { exitCode, stderr } = await run(control, ['members', 'revoke', 'tpm', 'node-a', ...NODES])
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringContaining(
        `SEALCTL_NO_TERMINAL: nobody can be asked here: give --confirm node-a and --members ${onlyShares}`,
      ),
    ])
    expect(control.asked).toEqual([])
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
      const outcome = await run(control, ['members', 'revoke', 'tpm', name, '--confirm', 'x', ...NODES])
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
    expect(readdirSync(control.folder)).not.toContain('keyring')
  })

  it('approves nothing where the keyring could not be written', async () => {
    await using control = await controlScope()
    writeFileSync(join(control.folder, 'req'), 'request')
    writeFileSync(join(control.folder, 'keyring'), 'of somebody else')
    const { exitCode, stderr } = await run(control, [...approve(control.folder), '--fingerprint', 'ab12-cd34'])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('sealctl: SEALCTL_OUTPUT_UNUSABLE: ')])
    expect(control.asked).toEqual([])
    expect(readFileSync(join(control.folder, 'keyring'), 'utf8')).toBe('of somebody else')
  })
})
