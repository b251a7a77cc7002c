import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, broken, bytesOf, enrolled, type Holding, withForgedMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { sealOperations } from './operations.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }

let folder: TemporaryFolder
let seal: FakeSeal
let first: Holding
let mine: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  first = await begun([seal])
  mine = await broken(first, [seal])
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  await node.store(mine.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

async function importing(bytes: Uint8Array): Promise<{ readonly revision: number; readonly hasChanged: boolean }> {
  using operations = sealOperations({
    ...{ custody: node.custody, configured: () => [], seals: () => [seal] },
    reload: () => Promise.reject(new Error('there is no file to read')),
  })
  return await operations.importKeyring({ bytes, caller }, signal)
}

describe('an import of a keyring', () => {
  it.each<[string, string, () => Uint8Array | Promise<Uint8Array>]>([
    ['contradicts what is held', 'KEYRING_DIVERGED', async () => bytesOf(await broken(first, [seal]))],
    ['is of another cluster', 'KEYRING_OTHER_CLUSTER', async () => bytesOf(await begun([seal], 'other'))],
    ['has a forged MAC', 'KEYRING_AUTH_FAILED', () => withForgedMac(mine)],
    ['is ahead with a forged MAC', 'KEYRING_AUTH_FAILED', () => withForgedMac(ahead(mine, 2))],
  ])('that %s fails with %s, also after OpenBao has brought the same', async (_, code, make) => {
    const bytes = await make()
    const held = node.held()
    await expect(importing(bytes)).rejects.toMatchObject({ code })
    await node.absorb(bytes)
    await expect(importing(bytes)).rejects.toMatchObject({ code })
    expect(node.held()).toBe(held)
  })

  it('that only a seal can open, which is down, fails, and works once the seal is back', async () => {
    const far = bytesOf(ahead(mine, 2))
    seal.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    await expect(importing(far)).rejects.toMatchObject({ code: 'CUSTODY_SEALED' })
    seal.failWith(undefined)
    expect(await importing(far)).toMatchObject({ hasChanged: true })
  })

  it('takes what is new, and says so of what is not', async () => {
    const more = await enrolled(mine, [fakeSeal({ device: 'b' })])
    expect(await importing(bytesOf(more))).toEqual({ revision: more.keyring.revision, hasChanged: true })
    expect(await importing(bytesOf(more))).toEqual({ revision: more.keyring.revision, hasChanged: false })
  })
})
