import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { promisify } from 'node:util'
import { type ControlClient, controlClient } from '@sealwright/control-client'
import { type SealedNode } from '@sealwright/testing-cluster'
import { openBaoPath } from '@sealwright/testing-rig'
import { boot, cutPower } from './node-life.ts'
import { expectOpensByItself } from './node-health.ts'
import { initialise, newNodeWithOpenBao, openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const { signal } = new AbortController()
const scope = testScope()

async function withAgent<T>({ controlSocketPath }: SealedNode, use: (agent: ControlClient) => Promise<T>): Promise<T> {
  const agent = controlClient({ socketPath: controlSocketPath, timeoutMs: 30_000 })
  try {
    return await use(agent)
  } finally {
    await agent.close()
  }
}

/** Takes a snapshot, as an operator does. */
async function snapshotOf(address: string, token: string, name: string): Promise<string> {
  const path = scope.folder.join(name)
  const env = { BAO_ADDR: address, BAO_TOKEN: token, HOME: scope.folder.path }
  await promisify(execFile)(openBaoPath(), ['operator', 'raft', 'snapshot', 'save', path], { env })
  return path
}

describe('an old generation of the seal key', () => {
  it('is retired once a snapshot of this cluster proves that nothing names it, and never before', async () => {
    const { node, rootToken } = await openNode(scope)
    const bao = node.openBao()
    const retire = (path: string) => withAgent(node, agent => agent.retire(createReadStream(path), {}, signal))
    const before = await snapshotOf(bao.apiAddress, rootToken, 'before.snap')
    await withAgent(node, agent => agent.rotate({}, signal))
    await expect(retire(before)).rejects.toMatchObject({ agentCode: 'OPERATION_SNAPSHOT_REFUSED' })

    // The root key is still encrypted under the old key.
    const rotated = await snapshotOf(bao.apiAddress, rootToken, 'rotated.snap')
    expect(await retire(rotated)).toMatchObject({ retired: [], kept: [{ number: 1 }] })

    // Becoming active makes OpenBao encrypt root key and recovery key anew.
    await bao.restart({ until: 'active' })
    const rewrapped = await snapshotOf(bao.apiAddress, rootToken, 'rewrapped.snap')
    expect(await retire(rewrapped)).toMatchObject({ retired: [{ number: 1 }], kept: [] })

    await cutPower(node)
    await boot(node)
    await expectOpensByItself(node)
    expect((await withAgent(node, agent => agent.generations(signal))).generations).toMatchObject([
      { number: 1, state: 'retired' },
      { number: 2, state: 'active', current: true },
    ])
  })

  it('is kept while a server of the cluster is not known here: it may know only the old one', async () => {
    const served = await newNodeWithOpenBao(scope)
    const { node } = served
    expect(await node.bootstrap(served.sealKeyPath, ['--label', 'elsewhere'])).toMatchObject({ exitCode: 0 })
    await node.startAgent()
    const rootToken = await initialise(served)
    const bao = node.openBao()
    await withAgent(node, agent => agent.rotate({}, signal))
    await bao.restart({ until: 'active' })
    const path = await snapshotOf(bao.apiAddress, rootToken, 'snap')
    const retire = (lostNode: string[]) =>
      withAgent(node, agent => agent.retire(createReadStream(path), { lostNode }, signal))
    await expect(retire([])).rejects.toMatchObject({ agentCode: 'OPERATION_NODES_UNKNOWN' })
    expect(await retire(['solo'])).toMatchObject({ retired: [{ number: 1 }] })
  })
})
