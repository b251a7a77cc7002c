import { encodeKeyring, findSeal, findSealRecords, type Keyring, removeMember } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding, withMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

const { signal } = new AbortController()
const theirs = fakeSeal({ name: 'theirs', type: 'transit', device: 'of a stranger' })
const down = new TpmError('TPM_UNREACHABLE', 'no TPM answers')

let folder: TemporaryFolder
let tpm: FakeSeal
let backup: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  tpm = fakeSeal()
  backup = fakeSeal({ name: 'backup', type: 'transit', device: 'elsewhere', priority: 2 })
  first = await begun([tpm])
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** A node that is open, and has stored what it holds. */
async function openNode(keyring: Keyring, seals: readonly FakeSeal[]): Promise<void> {
  node = testNode({ storePath: folder.join('seal'), seals })
  await node.store(keyring)
  await node.tryToOpen()
  await node.settle()
}

/** With a member of a stranger, and without those of these seals. */
async function without(holding: Holding, seals: readonly FakeSeal[]): Promise<Holding> {
  const { keyring: planted, sealKeys } = await enrolled(holding, [theirs])
  let keyring = planted
  for (const { name } of seals) {
    for (const place of findSealRecords(planted, name)) keyring = removeMember({ keyring, sealKeys, place })
  }
  return { keyring, sealKeys }
}

/** The same with another name of the seal. */
function renamed({ keyring, sealKeys }: Holding, name: string): Holding {
  const seal = findSeal(keyring, name)
  const seals = keyring.seals.map(each =>
    each === seal ? { ...each, name: 'tmp', entryVersion: each.entryVersion + 1 } : each,
  )
  return { keyring: withMac({ keyring: { ...keyring, revision: keyring.revision + 1, seals }, sealKeys }), sealKeys }
}

async function expectRefused(bytes: Uint8Array): Promise<void> {
  const held = node.held()
  expect(await node.absorb(bytes)).toMatchObject({ code: 'CUSTODY_SHUT_OUT' })
  expect(node.held()).toBe(held)
  expect(node.refused).toMatchObject([{ code: 'CUSTODY_SHUT_OUT' }])
}

describe('a keyring that comes by itself and shuts this node out', () => {
  it.each<[string, (holding: Holding) => Holding | Promise<Holding>]>([
    ['all members but those of a stranger are removed', holding => without(holding, [tpm])],
    ['the seal has another name', holding => renamed(holding, 'tpm')],
  ])('is not held, no device is asked, and this node rotates on: %s', async (_, change) => {
    await openNode(ahead(first).keyring, [tpm])
    const asked = tpm.asked()
    await expectRefused(bytesOf(await change(first)))
    expect(tpm.asked()).toBe(asked)
    expect((await node.rotate()).current.number).toBe(3)
    expect(await node.stored()).toEqual(bytesOf(node.held()))
    expect(node.notStored).toEqual([])
  })

  it('is not held where it is generations ahead', async () => {
    await openNode(first.keyring, [tpm])
    await expectRefused(bytesOf(ahead(await without(first, [tpm]), 2)))
  })

  it('is not held where only a seal is left that does not open now; and is once that one opens', async () => {
    const both = await enrolled(first, [backup])
    backup.failWith(down)
    await openNode(both.keyring, [tpm, backup])
    const bytes = bytesOf(await without(both, [tpm]))
    await expectRefused(bytes)
    backup.failWith(undefined)
    await node.tryToOpen()
    expect(await node.absorb(bytes)).toBeUndefined()
    expect(findSealRecords(node.held().keyring, 'tpm')).toEqual([])
  })

  it('is not held where none of the seals opens now, and it leaves no record of any', async () => {
    const both = await enrolled(first, [backup])
    await openNode(both.keyring, [tpm, backup])
    for (const seal of [tpm, backup]) seal.failWith(down)
    await node.tryToOpen()
    await expectRefused(bytesOf(await without(both, [tpm, backup])))
  })

  it('is held once another node has let this one in again', async () => {
    await openNode(first.keyring, [tpm])
    const bad = await without(first, [tpm])
    await expectRefused(bytesOf(bad))
    const mended = await enrolled(bad, [tpm])
    expect(await node.absorb(bytesOf(mended))).toBeUndefined()
    expect(node.held().keyring).toEqual(mended.keyring)
  })

  it('is held where an operator brings it', async () => {
    await openNode(first.keyring, [tpm])
    const { keyring } = await without(first, [tpm])
    await node.custody.learn(encodeKeyring(keyring), signal)
    expect(node.held().keyring).toEqual(keyring)
  })
})

describe('a keyring that comes by itself and takes a seal away', () => {
  it.each(['healthy', 'failing'])('is held where another one opens this node, be the lost one %s', async health => {
    const both = await enrolled(first, [backup])
    if (health === 'failing') tpm.failWith(down)
    await openNode(both.keyring, [tpm, backup])
    const { keyring } = await without(both, [tpm])
    expect(await node.absorb(encodeKeyring(keyring))).toBeUndefined()
    expect(node.held().keyring).toEqual(keyring)
  })

  it('is held where the seal is of other nodes alone', async () => {
    const both = await enrolled(first, [backup])
    await openNode(both.keyring, [backup])
    const { keyring } = await without(both, [tpm])
    expect(await node.absorb(encodeKeyring(keyring))).toBeUndefined()
    expect(node.held().keyring).toEqual(keyring)
  })
})
