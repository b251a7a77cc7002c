import { mkdir, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { agentLock } from '@sealwright/node-seals'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { fakeSeal, type FakeSeal, type FakeSealOptions } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

const { signal } = new AbortController()
const WAIT_MS = 10_000
const OTHER_CLUSTER = Uint8Array.from({ length: 16 }, () => 7)

let folder: TemporaryFolder
let nodes: AsyncDisposableStack

beforeEach(async () => {
  folder = await temporaryFolder()
  nodes = new AsyncDisposableStack()
})

afterEach(async () => {
  await nodes.disposeAsync()
  await folder.remove()
})

/** A node whose store was lost, its seal, and the keyring of its cluster. */
async function lostNode({
  seal: options = {},
  clusterId,
}: {
  readonly seal?: FakeSealOptions
  readonly clusterId?: (holding: Holding) => Uint8Array
} = {}): Promise<{ readonly node: TestNode; readonly seal: FakeSeal; readonly holding: Holding }> {
  const seal = fakeSeal(options)
  const holding = await begun([seal])
  const known = clusterId?.(holding)
  const storePath = folder.join('seal')
  const node = nodes.use(testNode({ storePath, seals: [seal], ...(known === undefined ? {} : { clusterId: known }) }))
  return { node, seal, holding }
}

const itsOwn = ({ keyring }: Holding): Uint8Array => keyring.clusterId
const imported = { method: 'tpm-imported' } as const

/** `opened`, or the code that the only seal fails with. */
async function opening(node: TestNode): Promise<string> {
  await node.tryToOpen()
  if (node.custody.holder.held() !== undefined) return 'opened'
  const health = node.custody.holder.health('tpm')
  return health.kind === 'failing' ? health.failure.code : health.kind
}

describe('a node whose store was lost', () => {
  it('opens a keyring that a blob brought by a record of its own making, and writes the store anew', async () => {
    const { node, holding } = await lostNode()
    expect(await opening(node)).toBe('STORE_NOT_FOUND')
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toBe('opened')
    await waitUntil(async () => (await node.stored()) !== undefined, { what: 'a store', timeoutMs: WAIT_MS })
    expect(await node.stored()).toEqual(bytesOf(holding))
  })

  it('keeps a second agent off the store that it wrote anew', async () => {
    const { node, holding } = await lostNode()
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toBe('opened')
    await waitUntil(async () => (await node.stored()) !== undefined, { what: 'a store', timeoutMs: WAIT_MS })
    await node.settle()
    await using second = agentLock(node.storePath)
    await expect(second.ensure(signal)).rejects.toMatchObject({ code: 'STORE_IN_USE' })
  })

  it.each<[string, string, Parameters<typeof lostNode>[0]]>([
    ['its own record, and no cluster is configured', 'opened', {}],
    ['its own record, and it is of the configured cluster', 'opened', { clusterId: itsOwn }],
    ['its own record, but another cluster is configured', 'KEYRING_OTHER_CLUSTER', { clusterId: () => OTHER_CLUSTER }],
    ['a record of anybody, and no cluster is configured', 'KEYRING_ORIGIN_UNPROVEN', { seal: imported }],
    ['a record of anybody, and it is of the configured cluster', 'opened', { seal: imported, clusterId: itsOwn }],
    [
      'a record of anybody, but another cluster is configured',
      'KEYRING_OTHER_CLUSTER',
      { seal: imported, clusterId: () => OTHER_CLUSTER },
    ],
  ])('and is brought a keyring with %s: %s', async (_, outcome, given) => {
    const { node, holding } = await lostNode(given)
    await node.absorb(bytesOf(holding))
    const told = await opening(node)
    if (outcome === 'KEYRING_OTHER_CLUSTER') {
      // Whether it is told as the keyring's fault or as that of the seal: it is not opened, and somebody hears why.
      expect([told, ...node.refused.map(each => (each as { code: string }).code)]).toContain(outcome)
    } else {
      expect(told).toBe(outcome)
    }
    expect(node.custody.holder.held() !== undefined).toBe(outcome === 'opened')
    if (outcome !== 'opened') expect(await node.stored()).toBeUndefined()
  })

  it('asks no device for a keyring of another cluster than the configured one: its records can be anything', async () => {
    const { node, seal, holding } = await lostNode({ clusterId: () => OTHER_CLUSTER })
    await node.absorb(bytesOf(holding))
    await opening(node)
    expect(seal.asked()).toBe(0)
  })

  it('is not kept from opening by a stranger who brings another keyring after the right one', async () => {
    const { node, seal, holding } = await lostNode({ clusterId: itsOwn })
    await node.absorb(bytesOf(holding))
    await node.absorb(bytesOf(await begun([seal], 'another cluster')))
    expect(await opening(node)).toBe('opened')
    expect(node.held().keyring.clusterId).toEqual(holding.keyring.clusterId)
  })

  it('takes the newer of what it was brought', async () => {
    const { node, holding } = await lostNode()
    await node.absorb(bytesOf(holding))
    await node.absorb(bytesOf(ahead(holding, 2)))
    expect(await opening(node)).toBe('opened')
    expect(node.held().current.number).toBe(3)
  })

  it('says that it has no record, where a keyring was brought that has none of its seals', async () => {
    const { node } = await lostNode()
    await node.absorb(bytesOf(await begun([fakeSeal({ name: 'other' })])))
    expect(await opening(node)).toBe('KEYRING_NO_RECORD')
    expect(await node.stored()).toBeUndefined()
  })

  it('prefers its store, as soon as that is back', async () => {
    const { node, holding, seal } = await lostNode()
    await node.absorb(bytesOf(await begun([seal], 'another cluster')))
    await node.store(holding.keyring)
    expect(await opening(node)).toBe('opened')
    expect(node.held().keyring.clusterId).toEqual(holding.keyring.clusterId)
  })
})

describe('a store that is there, but not good', () => {
  it('is not replaced by what a blob brought if it is damaged', async () => {
    const { node, holding } = await lostNode()
    await node.store(holding.keyring)
    await truncate(join(node.storePath, 'keyring'), 100)
    const damaged = await node.stored()
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toBe('STORE_KEYRING_INVALID')
    expect(node.custody.holder.held()).toBeUndefined()
    expect(await node.stored()).toEqual(damaged)
  })

  it('is not replaced if its keyring is gone, but there are traces of it', async () => {
    const { node, holding } = await lostNode()
    await node.store(holding.keyring)
    await node.store(ahead(holding).keyring)
    await unlink(join(node.storePath, 'keyring'))
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toBe('STORE_KEYRING_MISSING')
    expect(await node.stored()).toBeUndefined()
  })

  it('is not replaced if it holds files of somebody else', async () => {
    const { node, holding } = await lostNode()
    await mkdir(join(node.storePath, 'of somebody else'), { recursive: true, mode: 0o700 })
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toMatch(/^STORE_U/)
    expect(await node.stored()).toBeUndefined()
  })

  it('is left as it is if it is of another cluster than the configured one', async () => {
    const { node, holding, seal } = await lostNode({ clusterId: itsOwn })
    const other = await begun([seal], 'another cluster')
    await node.store(other.keyring)
    await node.absorb(bytesOf(holding))
    expect(await opening(node)).toBe('KEYRING_OTHER_CLUSTER')
    expect(await node.stored()).toEqual(bytesOf(other))
  })
})
