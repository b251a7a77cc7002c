import { randomBytes } from 'node:crypto'
import { addGeneration } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding, withMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

const PLANTED = 5

let folder: TemporaryFolder
let seal: FakeSeal
let first: Holding
let node: TestNode
/** How often a PIN was sent, and how often it was refused. */
let sent: number
let refused: number

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal({ hasPin: true })
  first = await begun([seal])
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  await node.store(ahead(first, 2).keyring)
  await node.tryToOpen()
  await node.absorb(bytesOf(await withPlantedRecords()))
  await node.settle()
  ;[sent, refused] = [0, 0]
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** With generations beside the lineage, and records of ours for them, as whoever has the first seal key can make them. */
async function withPlantedRecords(): Promise<Holding> {
  const begin = await begun([seal])
  let holding = ahead(first, 2)
  for (let count = 0; count < PLANTED; count += 1) {
    const { generation, sealKey } = addGeneration({ ...begin, step: 'chained', randomBytes })
    const generations = [...holding.keyring.generations, { ...generation, state: 'active' as const }].sort(
      (one, other) => one.number - other.number || Buffer.compare(one.id, other.id),
    )
    const keyring = withMac({ ...holding, keyring: { ...holding.keyring, generations } })
    const sealKeys = holding.sealKeys.with(generation.id, sealKey)
    holding = await enrolled({ keyring, sealKeys }, [seal], generation.id)
  }
  return holding
}

/** Asks the seal as a probe does; its device takes the PIN for the first record of the round alone. */
async function round(): Promise<void> {
  let asked = 0
  seal.whenAsked(() => {
    asked += 1
    sent += 1
    if (asked === 1) return
    refused += 1
    throw new TpmError('TPM_PIN_WRONG', 'this record has another PIN')
  })
  await node.tryToOpen()
  seal.whenAsked(() => undefined)
}

describe('records of another PIN that a stranger has planted for a seal', () => {
  it('cost one try of it in all, and the seal opens each time', async () => {
    for (let rounds = 0; rounds < 3; rounds += 1) {
      await round()
      expect(node.custody.holder.health('tpm').kind).toBe('healthy')
    }
    expect([sent, refused]).toEqual([4, 1])
  })

  it('cost another one after a reload', async () => {
    await round()
    node.custody.startAfresh()
    await round()
    expect(refused).toBe(2)
  })

  it('do not keep this node from rotating', async () => {
    await round()
    expect((await node.rotate()).current.number).toBe(4)
  })
})
