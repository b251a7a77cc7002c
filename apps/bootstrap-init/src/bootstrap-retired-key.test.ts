import { addGeneration, activateGeneration, addRecord, matchSealKey, retireGeneration } from '@sealwright/keyring'
import { randomBytes } from 'node:crypto'
import { EXIT_CODES } from './exit-codes.ts'
import { failure, testNode, type TestNode } from './testing/test-node.ts'

const { signal } = new AbortController()

let node: TestNode

beforeEach(async () => {
  node = await testNode()
  await node.run()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
})

async function expectRefused(reason: RegExp): Promise<void> {
  const [before, asked] = [await node.storeNow(), node.seal.asked()]
  await expect(node.run()).rejects.toEqual(failure('BOOTSTRAP_KEY_RETIRED', reason))
  expect([await node.storeNow(), node.seal.asked()]).toEqual([before, asked])
}

describe('the first seal key, from its copy on paper', () => {
  it('is taken after a rotation, and refused as retired once that was finished: new nodes come in another way', async () => {
    const sealKey = await node.rotate()
    expect(await node.run()).toMatchObject({ result: 'extended' })
    const rotated = await node.storedKeyring()
    const [{ id } = { id: new Uint8Array() }] = rotated.generations
    using sealKeys = matchSealKey({ keyring: rotated, sealKey })
    await node.put(retireGeneration({ keyring: rotated, sealKeys, id }))
    await expectRefused(/generation 1 .* was retired by a rotation: .* sealctl enroll or sealctl recover/)
    expect(EXIT_CODES.BOOTSTRAP_KEY_RETIRED).toBe(EXIT_CODES.KEYRING_OTHER_KEY)
  })

  it('is refused after a break of the chain, which it does not lead over', async () => {
    const keyring = await node.storedKeyring()
    using first = matchSealKey({ keyring, sealKey: node.sealKey })
    const { generation, sealKey, ...added } = addGeneration({ keyring, sealKeys: first, step: 'broken', randomBytes })
    using sealKeys = first.with(generation.id, sealKey)
    const wrapped = await node.seal.withLocalMember({ knownIn: undefined, signal }, member =>
      addRecord({
        ...{ keyring: added.keyring, sealKeys, generationId: generation.id, sealName: 'tpm', member, label: 'node-1' },
        ...{ method: member.method, now: Date.now, randomBytes, signal },
      }),
    )
    await node.put(activateGeneration({ keyring: wrapped, sealKeys, id: generation.id }))
    await expectRefused(/generation 1 .* since the chain was broken/)
  })
})
