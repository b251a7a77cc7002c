import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { tendOnce } from './tending.ts'

const { signal } = new AbortController()

let folder: TemporaryFolder
let tpm: FakeSeal
let backup: FakeSeal
let before: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  tpm = fakeSeal()
  backup = fakeSeal({ name: 'backup', type: 'transit', priority: 2, device: 'shared' })
  before = await begun([tpm, backup, fakeSeal({ device: 'of another node' })])
  node = testNode({ storePath: folder.join('seal'), seals: [tpm, backup] })
  await node.store(before.keyring)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** The node has learned it and stores it, and neither tending nor a rotation puts anything back. */
async function expectTaken({ keyring }: Holding): Promise<void> {
  await node.absorb(bytesOf({ keyring }))
  await node.settle()
  expect(node.notStored).toEqual([])
  expect(await node.storedKeyring()).toEqual(keyring)
  const dependencies = { custody: node.custody, seals: () => [tpm, backup] }
  await tendOnce({ ...dependencies, onRenewed: () => undefined, onLookedAfter: () => undefined }, signal)
  await node.rotate()
  expect((await node.storedKeyring()).records).toEqual(keyring.records)
}

describe('a record that its node has made anew', () => {
  it('is taken by a node whose own TPM has not opened yet: which member is its own is not known', async () => {
    tpm.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    await node.tryToOpen()
    await expectTaken(await enrolled(before, [fakeSeal({ device: 'of another node' })]))
  })

  it('is taken where a transit key that both share cannot be asked now', async () => {
    await node.tryToOpen()
    backup.failWith(new TpmError('TPM_UNREACHABLE', 'no answer'))
    await expectTaken(await enrolled(before, [backup]))
  })

  it('is not compared with a stored one that was refused here: that was put into the store, or the PIN is another one now', async () => {
    const renewed = await enrolled(before, [tpm])
    tpm.failWith(new TpmError('TPM_PIN_WRONG', 'the PIN was refused'))
    await node.tryToOpen()
    await expectTaken(renewed)
    tpm.failWith(undefined)
  })

  it('costs no asking for the stored one where it opens everything', async () => {
    await node.tryToOpen()
    await node.absorb(bytesOf(await enrolled(before, [tpm])))
    await node.settle()
    const asked = tpm.asked()
    await node.rotate()
    // For the plain keys, and for the proof.
    expect(tpm.asked()).toBe(asked + 2)
    expect(node.notStored).toEqual([])
  })
})
