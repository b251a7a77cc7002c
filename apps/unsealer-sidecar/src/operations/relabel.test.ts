import { findSeal, type Keyring, removeMember } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, enrolled, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { initialise } from './initialise.ts'
import { createNewShareSets } from './new-share-sets.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const own = fakeSeal()
const neighbour = fakeSeal({ device: 'b' })
const { seals: configured } = parseNodeConfig(
  JSON.stringify({
    store: '/nowhere',
    seals: [{ name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: '/nowhere' } }],
  }),
  'node.yaml',
)

let folder: TemporaryFolder
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  node = testNode({ storePath: folder.join('seal'), seals: [own] })
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

async function opened({ keyring }: Holding): Promise<void> {
  await node.store(keyring)
  await node.tryToOpen()
}

async function init(label: string | undefined) {
  const dependencies = { configured: () => configured, seals: () => [own], newShareSets: createNewShareSets() }
  const request = { sealName: 'tpm', label, shares: undefined, caller }
  return await initialise({ custody: node.custody, ...dependencies }, request, signal)
}

const labelled = ({ members }: Keyring) =>
  members.map(({ label, entryVersion, state }) => [label, entryVersion, state] as const)

describe('a seal that is initialised where the device of this node is a member already', () => {
  it('has the member called as is said from then on, and keeps its records', async () => {
    await opened(await begun([own]))
    const { records, revision } = node.held().keyring
    expect((await init('node-b')).member).toMatchObject({ sealName: 'tpm', label: 'node-b', state: 'active' })
    expect(await node.storedKeyring()).toMatchObject({ records, revision: revision + 1 })
    expect(labelled(node.held().keyring)).toEqual([['node-b', 2, 'active']])
  })

  it('changes nothing where no label is given, or the one that it has', async () => {
    await opened(await begun([own]))
    const before = node.held().keyring
    for (const label of [undefined, 'node']) {
      expect((await init(label)).member).toMatchObject({ label: 'node' })
      expect(node.held().keyring).toBe(before)
    }
  })

  it('has no two active members called alike, and says which one has the label', async () => {
    const both = await enrolled(await begun([own]), [neighbour])
    await opened(both)
    await init('node-a')
    const before = node.held().keyring
    await expect(init('node')).rejects.toMatchObject({
      code: 'OPERATION_INVALID',
      message: expect.stringMatching(/another member of tpm is called node \([0-9a-f]{32}\)/) as unknown,
    })
    expect(node.held().keyring).toBe(before)
  })

  it('takes the label of one that was removed', async () => {
    const both = await enrolled(await begun([own]), [neighbour])
    await opened(both)
    await init('node-a')
    const { keyring } = node.held()
    const place = keyring.members.find(({ label }) => label === 'node')
    if (place === undefined) throw new Error('no neighbour')
    await node.custody.change(unlocked => ({ ...unlocked, keyring: removeMember({ ...unlocked, place }) }), signal)
    expect((await init('node')).member).toMatchObject({ label: 'node' })
  })

  it('is let in again under the label that is given, if the member was removed', async () => {
    const other = fakeSeal({ name: 'second', device: 'c' })
    const both = await enrolled(await begun([own]), [other])
    const sealId = findSeal(both.keyring, 'tpm')?.sealId ?? new Uint8Array()
    const place = both.keyring.members.find(member => Buffer.compare(member.sealId, sealId) === 0)
    if (place === undefined) throw new Error('no member')
    await node[Symbol.asyncDispose]()
    node = testNode({ storePath: folder.join('other'), seals: [other] })
    await opened({ ...both, keyring: removeMember({ ...both, place }) })
    expect((await init('node-b')).member).toMatchObject({
      label: 'node-b',
      state: 'active',
      records: [{ generation: 1 }],
    })
  })
})
