import { encodeKeyring, type Keyring, KeyringError } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, bytesOf, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

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

/** A node whose store was lost. */
function nodeWith(...seals: readonly FakeSeal[]): TestNode {
  return nodes.use(testNode({ storePath: folder.join('seal'), seals }))
}

/** The same with another revision, which the MAC does not fit. */
function withRevision({ keyring }: Holding, revision: number): Uint8Array {
  return encodeKeyring({ ...keyring, revision })
}

const isOpen = (node: TestNode): boolean => node.custody.holder.held() !== undefined

describe('a node whose store was lost, among forged keyrings', () => {
  it.each(['before', 'after'])(
    'opens the right one if one with a higher revision came %s it, and tells of that',
    async when => {
      const seal = fakeSeal()
      const holding = await begun([seal])
      const node = nodeWith(seal)
      const forged = withRevision(holding, 2 ** 52)
      for (const bytes of when === 'before' ? [forged, bytesOf(holding)] : [bytesOf(holding), forged])
        await node.absorb(bytes)
      await node.tryToOpen()
      expect(node.held().keyring.revision).toBe(holding.keyring.revision)
      expect(node.refused).toMatchObject([{ code: 'KEYRING_AUTH_FAILED' }])
    },
  )

  it('opens the right one although more came than it keeps, once that is brought again', async () => {
    const seal = fakeSeal()
    const holding = await begun([seal])
    const node = nodeWith(seal)
    const forged = Array.from({ length: 12 }, (_, index) => withRevision(holding, 1_000 + index))
    for (let round = 0; round < 3 && !isOpen(node); round += 1) {
      for (const bytes of [...forged, bytesOf(holding)]) await node.absorb(bytes)
      const before = seal.asked()
      await node.tryToOpen()
      expect(seal.asked() - before).toBeLessThanOrEqual(9)
    }
    expect(isOpen(node)).toBe(true)
  })

  it('opens the right one after eight other clusters, once that is brought again', async () => {
    const seal = fakeSeal()
    const holding = await begun([seal])
    const node = nodeWith(seal)
    for (let index = 0; index < 8; index += 1) {
      await node.absorb(bytesOf(await begun([fakeSeal({ device: `x${index}` })], `stranger ${index}`)))
    }
    await node.absorb(bytesOf(holding))
    await node.tryToOpen()
    expect(isOpen(node)).toBe(false)
    await node.absorb(bytesOf(holding))
    await node.tryToOpen()
    expect(isOpen(node)).toBe(true)
  })

  it('loses nothing because its seal was down', async () => {
    const seal = fakeSeal()
    const holding = await begun([seal])
    const node = nodeWith(seal)
    await node.absorb(bytesOf(holding))
    seal.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    for (let times = 0; times < 3; times += 1) await node.tryToOpen()
    seal.failWith(undefined)
    await node.tryToOpen()
    expect(isOpen(node)).toBe(true)
  })

  it('keeps what one seal cannot vouch for, for another that can', async () => {
    const anybody = fakeSeal({ name: 'anybody', priority: 1, device: 'a', method: 'tpm-imported' })
    const own = fakeSeal({ name: 'own', priority: 2, device: 'b' })
    const holding = await begun([own, anybody])
    const node = nodeWith(anybody, own)
    own.failWith(new TpmError('TPM_UNREACHABLE', 'no TPM answers'))
    await node.absorb(bytesOf(holding))
    await node.tryToOpen()
    expect(isOpen(node)).toBe(false)
    own.failWith(undefined)
    await node.tryToOpen()
    expect(node.custody.holder.held()?.sealName).toBe('own')
  })

  it('does not try a PIN on a second keyring that was refused with the first', async () => {
    const seal = fakeSeal({ hasPin: true })
    const holding = await begun([seal])
    const node = nodeWith(seal)
    for (let index = 0; index < 4; index += 1) await node.absorb(withRevision(holding, 1_000 + index))
    seal.failWith(new TpmError('TPM_PIN_WRONG', 'the PIN was refused'))
    await node.tryToOpen()
    expect(seal.asked()).toBe(1)
  })

  it('forgets what was brought when it starts afresh', async () => {
    const seal = fakeSeal()
    const node = nodeWith(seal)
    await node.absorb(bytesOf(await begun([seal])))
    const brought: Keyring = await node.custody.known()
    expect(brought.revision).toBe(1)
    node.custody.startAfresh()
    await expect(node.custody.known()).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  })

  it('offers people with shares the next one after the first did not open by theirs', async () => {
    const seal = fakeSeal()
    const holding = await begun([seal])
    const node = nodeWith(seal)
    await node.absorb(bytesOf(holding))
    await node.absorb(withRevision(holding, 1_000))
    const forged = await node.custody.known()
    expect(forged.revision).toBe(1_000)
    node.custody.unopened(forged, new KeyringError('KEYRING_AUTH_FAILED', 'forged'))
    expect(await node.custody.known()).toEqual(holding.keyring)
  })
})
