import { waitUntil } from '@sealwright/testing-rig'
import { boot, cutPower, hangUp, killAgent } from './node-life.ts'
import { OFTEN } from './parallel-node.ts'
import { expectOpenedBy, expectServes, knownStatus, listedSeals, waitForMembers } from './parallel-status.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const TIMEOUT_MS = 30_000

let opened: OpenedNode
/** What raft calls the server, and so its TPM is called. */
let label: string

beforeAll(async () => {
  opened = await openNode(scope, { agent: OFTEN })
  const { node, config } = opened
  const socket = node.tpm.socketPath
  await node.writeConfig({ ...config, moreSeals: [{ name: 'second', type: 'tpm', priority: 2, tpm: { socket } }] })
  const [tpm] = await listedSeals(node)
  label = tpm?.members[0]?.label ?? ''
  expect(await node.sealctl('seals', 'add', 'second', '--label', label)).toMatchObject({ exitCode: 0, stderr: '' })
  await waitForMembers(node, 'tpm', 'second')
})

async function deletion(name: string, ...more: readonly string[]) {
  return await opened.node.sealctl('seals', 'delete', name, '--confirm', name, ...more)
}

async function sealNames(): Promise<readonly string[]> {
  return (await listedSeals(opened.node)).map(({ name }) => name)
}

describe('sealctl seals delete', () => {
  it('takes no seal away that this node has in node.yaml, whether it was opened by it or not', async () => {
    for (const name of ['tpm', 'second']) {
      const { exitCode, stderr } = await deletion(name, '--checked', label)
      expect([exitCode, stderr]).toEqual([4, expect.stringContaining('sealctl: OPERATION_SEAL_IN_USE: ')])
    }
    expect(await sealNames()).toEqual(['tpm', 'second'])
  })

  it('takes one away that no node needs, once somebody says to have looked; it does not come back', async () => {
    const { node, config } = opened
    await node.writeConfig(config)
    await hangUp(node)
    await waitUntil(async () => (await knownStatus(node)).seals.length === 1, {
      what: 'the agent to have read node.yaml',
      timeoutMs: TIMEOUT_MS,
    })
    const unchecked = await deletion('second')
    expect(unchecked).toMatchObject({ exitCode: 4, stdout: '' })
    expect(unchecked.stderr).toContain(
      `sealctl: OPERATION_NODES_UNCHECKED: nothing was changed: ${label} may be open by second`,
    )
    expect(await sealNames()).toEqual(['tpm', 'second'])

    expect(await deletion('second', '--checked', label)).toMatchObject({ exitCode: 0, stderr: '' })
    expect(await sealNames()).toEqual(['tpm'])
    await cutPower(node)
    await boot(node)
    await expectServes(node)
    expect(await sealNames()).toEqual(['tpm'])
  })

  it('never takes the last one away, and the node opens by it at its next start', async () => {
    const { node } = opened
    const { exitCode, stderr } = await deletion('tpm', '--checked', label)
    expect([exitCode, stderr]).toEqual([4, expect.stringContaining('sealctl: OPERATION_LAST_WAY_IN: ')])
    await killAgent(node)
    await node.startAgent()
    await expectOpenedBy(node, 'tpm')
    await expectServes(node)
  })
})
