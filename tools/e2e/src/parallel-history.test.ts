import { waitUntil } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { expectSealWorks } from './node-health.ts'
import { OFTEN } from './parallel-node.ts'
import { expectServes, listedSeals, restartAgent } from './parallel-status.ts'
import { type OpenedNode, openNode } from './served-node.ts'
import { sharedScope } from './test-scope.ts'

const scope = sharedScope()
const PROOF = 'kv/proof'
const TIMEOUT_MS = 30_000

let opened: OpenedNode
/** From before the rotation. */
let oldSnapshot: string

async function write(value: string): Promise<void> {
  const { node, rootToken: token } = opened
  expect(await node.openBao().request({ method: 'POST', path: PROOF, token, body: { value } })).toMatchObject({
    status: 204,
  })
}

async function readProof(): Promise<unknown> {
  const { status, body } = await opened.node.openBao().request({ path: PROOF, token: opened.rootToken })
  return status === 200 ? (body as { readonly data: { readonly value: unknown } }).data.value : status
}

async function saveSnapshot(name: string): Promise<string> {
  const path = scope.folder.join(name)
  await bao(opened.node.openBao(), ['operator', 'raft', 'snapshot', 'save', path], opened.rootToken)
  return path
}

async function recordedGenerations(): Promise<readonly number[]> {
  const seals = await listedSeals(opened.node)
  return seals.flatMap(({ members }) => members.flatMap(({ records }) => records.map(({ generation }) => generation)))
}

beforeAll(async () => {
  opened = await openNode(scope, { agent: OFTEN })
  const { node, rootToken: token } = opened
  await node.openBao().request({ method: 'POST', path: 'sys/mounts/kv', token, body: { type: 'kv' } })
  await write('before the rotation')
  oldSnapshot = await saveSnapshot('old.snap')

  expect(await node.sealctl('rotate')).toMatchObject({ exitCode: 0 })
  await write('after the rotation')
  // Becoming active makes OpenBao encrypt its recovery key anew, too.
  await node.openBao().restart({ until: 'active' })
  await expectSealWorks(node, token)
  const newSnapshot = await saveSnapshot('new.snap')
  const { exitCode, stdout } = await node.sealctl('rotate', 'retire', '--snapshot', newSnapshot, '--json')
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ retired: [{ number: 1 }] })
  // Of the old key nothing may be left on this node, in the store or in memory.
  await waitUntil(async () => (await recordedGenerations()).every(generation => generation === 2), {
    what: 'the TPM to have a record of the new generation alone',
    timeoutMs: TIMEOUT_MS,
  })
  await restartAgent(node)
  await expectServes(node)
})

describe('a snapshot from before a rotation whose old key was retired since', () => {
  it('is restored over the same cluster, which opens by what the blobs of the snapshot carry', async () => {
    const { node, rootToken } = opened
    await bao(node.openBao(), ['operator', 'raft', 'snapshot', 'restore', '-force', oldSnapshot], rootToken)
    await node
      .openBao()
      .waitFor(async () => (await readProof()) === 'before the rotation', { what: 'what it held then' })
    await expectServes(node)
    await node.openBao().restart({ until: 'active' })
    expect(await readProof()).toBe('before the rotation')
    await expectSealWorks(node, rootToken)
  })
})
