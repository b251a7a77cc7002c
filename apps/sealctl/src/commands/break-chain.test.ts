import { join } from 'node:path'
import { memberSetFingerprint } from '@sealwright/control-api'
import { repositoryRoot } from '@sealwright/testing-rig'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { sharesMember, tpmMember } from '../../../unsealer-sidecar/src/control/testing/fake-operations.ts'
import { runHere, type World } from '../testing/run-here.ts'

const NODES = ['--nodes', 'node-a']
const all = memberSetFingerprint([tpmMember.fingerprint, sharesMember.fingerprint])
/** A TPM that somebody with an old key has made a member of. */
const stranger = { ...tpmMember, memberId: '0f'.repeat(16), label: 'node-a', fingerprint: 'f0'.repeat(16) }
const snapshotPath = join(repositoryRoot(), 'vectors/raft-snapshot/static-seal.tar.gz')

const breakChain = ({ path }: ControlScope, args: readonly string[], world?: World) =>
  runHere(['rotate', '--break-chain', ...args, '--socket', path], world)

describe('sealctl rotate --break-chain', () => {
  it('shows who gets the next key, and tells the agent that it is these', async () => {
    await using control = await controlScope()
    const { exitCode, stderr } = await breakChain(control, NODES, { isTerminal: true, input: `${all.slice(0, 8)}\n` })
    expect(stderr).toMatch(/^These members get the next seal key, and nobody else:$/m)
    expect(stderr).toMatch(
      /^tpm +tpm +node-a +0101\w+ +a1a1\w+ +gen 1: tpm-sealed, gen 2: tpm-imported +quantum-exposed$/m,
    )
    expect(stderr).toContain(`fingerprint of the members that stay: ${all}\n`)
    expect(stderr).toContain(`Type ${all.slice(0, 8)} to go on: `)
    expect(exitCode).toBe(0)
    expect(control.asked).toMatchObject([
      ['rotate', { breakChain: true, drop: [], nodes: ['node-a'], lost: [], members: all }],
    ])
  })

  it('does nothing where something else is typed, or nobody can be asked', async () => {
    await using control = await controlScope()
    const typed = await breakChain(control, NODES, { isTerminal: true, input: 'yes\n' })
    expect([typed.exitCode, typed.stderr]).toEqual([5, expect.stringContaining('SEALCTL_NOT_CONFIRMED')])
    const piped = await breakChain(control, [...NODES, '--json'], { input: `${all.slice(0, 8)}\n` })
    expect([piped.exitCode, piped.stderr]).toEqual([1, expect.stringContaining(`give --members ${all}`)])
    expect(JSON.parse(piped.stdout)).toMatchObject({ code: 'SEALCTL_NO_TERMINAL' })
    expect(control.asked).toEqual([])
  })

  it('passes a fingerprint on as it was given: the agent compares', async () => {
    await using control = await controlScope()
    const members = 'ab'.repeat(16)
    expect(await breakChain(control, [...NODES, '--members', members])).toMatchObject({ exitCode: 0, stderr: '' })
    expect(control.asked).toMatchObject([['rotate', { members }]])
  })

  it('points at a TPM that is called like another, or like no server, and leaves it out once it is dropped', async () => {
    await using control = await controlScope({
      operations: {
        members: () => [tpmMember, stranger, { ...stranger, label: 'x', memberId: '0e'.repeat(16) }, sharesMember],
      },
    })
    const { stderr } = await breakChain(control, NODES)
    expect(stderr).toMatch(/^tpm +tpm +node-a +0101.*SEVERAL OF THIS LABEL$/m)
    expect(stderr).toMatch(/^tpm +tpm +node-a +0f0f.*SEVERAL OF THIS LABEL$/m)
    expect(stderr).toMatch(/^tpm +tpm +x +0e0e.*NO SUCH SERVER$/m)
    const drop = ['0e'.repeat(16), stranger.memberId]
    const dropping = [...NODES, ...drop.flatMap(id => ['--drop', id])]
    const without = await breakChain(control, dropping, { isTerminal: true, input: `${all.slice(0, 8)}\n` })
    expect(without.exitCode).toBe(0)
    expect(without.stderr).not.toMatch(/SEVERAL|NO SUCH/)
    expect(control.asked).toMatchObject([['rotate', { drop, members: all }]])
  })

  it('sends nothing of a label that a terminal would obey', async () => {
    await using control = await controlScope({
      operations: { members: () => [{ ...tpmMember, label: '\u001b[2Jnode' }] },
    })
    const { stderr } = await breakChain(control, NODES)
    expect(stderr).toContain('\\x1b[2Jnode')
    expect(stderr).not.toContain('\u001b')
  })

  it('reads the servers from a snapshot, or takes their names, and who is lost', async () => {
    await using control = await controlScope()
    expect(await breakChain(control, ['--snapshot', snapshotPath, '--members', all])).toMatchObject({ exitCode: 0 })
    const lost = ['--lost', 'node-b', '--lost', 'node-c']
    await breakChain(control, ['--nodes', 'node-a, node-b', '--nodes', 'node-c', ...lost, '--members', all])
    expect(control.asked).toMatchObject([
      ['rotate', { nodes: ['n1', 'n2'], lost: [] }],
      ['rotate', { nodes: ['node-a', 'node-b', 'node-c'], lost: ['node-b', 'node-c'] }],
    ])
  })

  it.each([
    ['servers that are not named', [], 'SEALCTL_USAGE'],
    ['servers that are named in two ways', ['--snapshot', snapshotPath, ...NODES], 'cannot be used with'],
    ['a name that is empty', ['--nodes', 'node-a,,node-b'], 'A name between the commas is empty'],
    ['a snapshot that is none', ['--snapshot', __filename], 'RAFT_SNAPSHOT_NOT_GZIP'],
    ['a member that is not there', [...NODES, '--drop', '0f'.repeat(16)], 'SEALCTL_MEMBER_UNKNOWN'],
  ])('asks nobody and changes nothing with %s', async (_what, args, text) => {
    await using control = await controlScope()
    const { exitCode, stderr } = await breakChain(control, args, { isTerminal: true, input: `${all.slice(0, 8)}\n` })
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(text)])
    expect(stderr).not.toContain('to go on')
    expect(control.asked).toEqual([])
  })

  it('needs no servers where no TPM ever was a member', async () => {
    await using control = await controlScope({ operations: { members: () => [sharesMember] } })
    const members = memberSetFingerprint([sharesMember.fingerprint])
    expect(await breakChain(control, ['--members', members])).toMatchObject({ exitCode: 0 })
    expect(control.asked).toMatchObject([['rotate', { nodes: [], members }]])
  })
})

describe('sealctl rotate', () => {
  it.each([['--drop', '0f'.repeat(16)], NODES, ['--lost', 'a'], ['--members', all], ['--snapshot', snapshotPath]])(
    'takes no %s: nobody is shut out by a link',
    async (...option) => {
      await using control = await controlScope()
      const { exitCode, stderr } = await runHere(['rotate', ...option, '--socket', control.path])
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining('SEALCTL_USAGE')])
      expect(control.asked).toEqual([])
    },
  )
})
