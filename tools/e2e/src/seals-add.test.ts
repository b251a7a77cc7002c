import { statusOf } from './node-health.ts'
import { killAgent } from './node-life.ts'
import { agentLines } from './node-log.ts'
import { expectOpenedBy, listedSeals } from './parallel-status.ts'
import { openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

describe('sealctl seals add', () => {
  it('takes a seal into use that was written into node.yaml, while agent and OpenBao go on; a wrong file changes nothing', async () => {
    const { node, config } = await openNode(scope)
    const [agentPid, baoPid] = [node.agent().pid, node.openBao().pid()]
    const second = { name: 'second', type: 'tpm', priority: 2, tpm: { socket: node.tpm.socketPath } }

    const tooEarly = await node.sealctl('seals', 'add', 'second')
    expect(tooEarly).toMatchObject({ exitCode: 1, stdout: '' })
    expect(tooEarly.stderr).toContain('sealctl: SEALCTL_SEAL_UNKNOWN: node.yaml of this node has no seal second')

    await node.writeConfig({ ...config, moreSeals: [{ ...second, pinn: '/nowhere' }] })
    const refused = await node.sealctl('seals', 'add', 'second')
    expect(refused).toMatchObject({ exitCode: 4, stdout: '' })
    expect(refused.stderr).toMatch(/^sealctl: CONFIG_INVALID: .*pinn/)
    await expect(statusOf(node)).resolves.toMatchObject({ exitCode: 0, seals: [{ name: 'tpm' }] })

    await node.writeConfig({ ...config, moreSeals: [second] })
    const added = await node.sealctl('seals', 'add', 'second', '--label', 'of-mine')
    expect(added).toMatchObject({ exitCode: 0, stderr: '' })
    expect(added.stdout).toMatch(/^node\.yaml is read anew: added second\n/)
    expect((await listedSeals(node)).find(({ name }) => name === 'second')?.members).toMatchObject([
      { label: 'of-mine', state: 'active', records: [{ generation: 1, method: 'tpm-sealed' }] },
    ])
    await expect(statusOf(node)).resolves.toMatchObject({
      ...{ exitCode: 0, verdict: { kind: 'ready' }, sessions: 1, openbao: { state: 'active' } },
      seals: [
        { name: 'tpm', health: { state: 'healthy' } },
        { name: 'second', health: { state: 'healthy' } },
      ],
    })
    expect([node.agent().pid, node.openBao().pid()]).toEqual([agentPid, baoPid])
    expect([node.agent().end(), node.openBao().process().end()]).toEqual([undefined, undefined])
    expect(agentLines(node, { msg: 'configuration not read: going on with the one before' })).toHaveLength(1)
  })

  it('leaves a record by which the node opens alone', async () => {
    const { node, config } = await openNode(scope)
    const second = { name: 'second', type: 'tpm', priority: 2, tpm: { socket: node.tpm.socketPath } }
    await node.writeConfig({ ...config, moreSeals: [second] })
    expect(await node.sealctl('seals', 'add', 'second')).toMatchObject({ exitCode: 0, stderr: '' })

    await killAgent(node)
    await node.writeConfig({ ...config, seal: { disabled: true }, moreSeals: [second] })
    await node.startAgent()
    await expectOpenedBy(node, 'second')
  })
})
