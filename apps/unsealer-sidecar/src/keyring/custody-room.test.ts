import { randomBytes } from 'node:crypto'
import { addGeneration, encodeKeyring, type Keyring, OpenKeyring } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { rotateBroken, rotateChained } from '../operations/rotate.ts'
import { agreedBreak } from '../testing/agreed-break.ts'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { blobOf, testNode, type TestNode, textOf } from '../testing/test-node.ts'

const { signal } = new AbortController()
/** With as many again, above what a merge may fill. */
const FLOOD_GENERATIONS = 120
/** The highest revision of a keyring that nobody brings by hand. */
const MOST_REVISIONS_BY_THEMSELVES = 2 ** 52 + 2 ** 51

let folder: TemporaryFolder
let ours: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  ours = fakeSeal()
  first = await begun([ours])
  node = testNode({ storePath: folder.join('seal'), seals: [ours] })
  await node.store(first.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** What somebody makes of the keyring who has its seal key, and no seal: many generations that are begun and never handed out. */
function flood(holding: Holding): Keyring {
  let all = OpenKeyring.from(holding.keyring, holding.sealKeys)
  for (let count = 0; count < FLOOD_GENERATIONS; count += 1) {
    const { keyring, sealKey } = addGeneration({ ...holding, step: 'broken', randomBytes })
    sealKey.wipe()
    all = all.mergedWith(keyring)
  }
  return all.keyring
}

describe('a node that is sent generations without end by somebody with an old key', () => {
  it('takes no more than leave it room to break the chain, and goes on from there', async () => {
    const blob = blobOf(node.held())
    const [one, another] = [flood(first), flood(first)]
    await node.absorb(bytesOf({ keyring: one }))
    expect(node.held().keyring.generations).toHaveLength(1 + FLOOD_GENERATIONS)
    await node.absorb(bytesOf({ keyring: another }))
    expect(node.refused).toMatchObject([{ code: 'KEYRING_NO_ROOM' }])
    expect(node.held().keyring.generations).toHaveLength(1 + FLOOD_GENERATIONS)

    await node.custody.change(unlocked => rotateChained(unlocked, signal), signal)
    await node.custody.change(
      unlocked => rotateBroken(unlocked, agreedBreak(unlocked, { seals: [ours] }), signal),
      signal,
    )
    expect(node.held().keyring.generations.map(({ state }) => state)).toEqual(['active', 'active', 'active'])
    expect(textOf(node.held(), blob)).toBe('root key')

    for (const keyring of [one, another]) await node.absorb(bytesOf({ keyring }))
    expect(node.held().keyring.generations).toHaveLength(3)
    const newcomer = fakeSeal({ name: 'second', device: 'b', priority: 2 })
    await node.custody.change(async unlocked => ({ ...unlocked, ...(await enrolled(unlocked, [newcomer])) }), signal)
    expect(node.held().keyring.members).toHaveLength(2)
  })
})

describe('a keyring that is fuller than one may be that comes by itself', () => {
  it('is not taken, with or without a keyring held, and no seal is asked; by hand it is looked at', async () => {
    const theirs = encodeKeyring({ ...first.keyring, revision: MOST_REVISIONS_BY_THEMSELVES + 1 })
    const asked = ours.asked()
    await node.absorb(theirs)
    expect(node.refused).toMatchObject([{ code: 'KEYRING_NO_ROOM' }])
    expect(node.held().keyring).toEqual(first.keyring)

    await using empty = testNode({ storePath: folder.join('empty'), seals: [ours] })
    await empty.absorb(theirs)
    await empty.tryToOpen()
    expect(empty.custody.holder.held()).toBeUndefined()
    expect(empty.refused).toMatchObject([{ code: 'KEYRING_NO_ROOM' }])
    expect(ours.asked()).toBe(asked)

    // It is not authentic either: that is what an operator is told.
    await expect(node.custody.learn(theirs, signal)).rejects.toMatchObject({ code: 'KEYRING_AUTH_FAILED' })
  })
})
