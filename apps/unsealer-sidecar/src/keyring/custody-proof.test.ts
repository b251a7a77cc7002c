import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

const WAIT_MS = 10_000
const LOOKS = 100

let folder: TemporaryFolder
let best: FakeSeal
let second: FakeSeal
let first: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  best = fakeSeal({ name: 'best', priority: 1, device: 'a', hasPin: true })
  second = fakeSeal({ name: 'second', priority: 2, device: 'b' })
  first = await begun([best, second])
  node = testNode({ storePath: folder.join('seal'), seals: [best, second] })
  await node.store(first.keyring)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

async function untilStored(): Promise<void> {
  await waitUntil(
    async () => {
      const stored = await node.stored()
      return stored !== undefined && Buffer.compare(stored, bytesOf(node.held())) === 0
    },
    { what: 'the store to have what is held', timeoutMs: WAIT_MS },
  )
}

describe('the proof of what is to be written', () => {
  it('sends no wrong PIN a second time, whether something was learned or rotated', async () => {
    best.failWith(new TpmError('TPM_PIN_WRONG', 'the PIN was refused'))
    await node.tryToOpen()
    expect(best.asked()).toBe(1)
    await node.absorb(bytesOf(ahead(first)))
    await untilStored()
    await node.rotate()
    expect(best.asked()).toBe(1)
    expect(node.held().keyring.generations).toHaveLength(3)
  })

  it('asks a seal only in its turn: no device is asked for two things at once', async () => {
    await node.tryToOpen()
    const askedBefore = best.asked()
    const proof = Promise.withResolvers<undefined>()
    let running = 0
    let most = 0
    best.whenAsked(async () => {
      running += 1
      most = Math.max(most, running)
      // The first question is for the plain keys, the second one is the proof.
      if (best.asked() === askedBefore + 2) await proof.promise
      running -= 1
    })
    const change = node.rotate()
    await waitUntil(() => best.asked() === askedBefore + 2, { what: 'the proof', timeoutMs: WAIT_MS })
    const probe = node.tryToOpen()
    // Longer than a probe takes that has nothing to wait for: it reads the store once.
    for (let looks = 0; looks < LOOKS; looks += 1) await node.stored()
    proof.resolve(undefined)
    await Promise.all([change, probe])
    expect(most).toBe(1)
  })

  it('is given by another seal where the best one is down', async () => {
    await node.tryToOpen()
    best.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    expect((await node.rotate()).current.number).toBe(2)
    expect(await node.storedKeyring()).toEqual(node.held().keyring)
  })
})
