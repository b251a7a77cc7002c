import { randomBytes } from 'node:crypto'
import { decodeKeyring, MAX_KEYRING_BYTES, OpenKeyring } from '@sealwright/keyring'
import { type SealBlob, type SealService } from '@sealwright/seal-plugin'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runBeside } from '../beside.ts'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding, withForgedLineage, withForgedMac } from '../testing/keyrings.ts'
import { blobOf, testNode, type TestNode } from '../testing/test-node.ts'
import { sealService } from './seal-service.ts'

const NO_AAD = new Uint8Array()
/** Long enough for OpenBao to keep it. */
const ROOT_KEY = Buffer.from('a root key of 32 bytes, and more')
const { signal } = new AbortController()

let folder: TemporaryFolder
let seal: FakeSeal
let first: Holding
let node: TestNode
let service: SealService

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  first = await begun([seal])
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  const { holder, absorb } = node.custody
  service = sealService({
    heldKeyring: () => holder.held()?.key,
    waitForKeyring: (timeoutMs, callSignal) => holder.waitForKey(timeoutMs, callSignal),
    ...{
      absorb,
      randomBytes,
      failures: () => [],
      admit: () => Promise.resolve(),
      version: '1',
      sealType: 'sealwright',
    },
  })
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

async function open(): Promise<void> {
  await node.store(first.keyring)
  await node.tryToOpen()
}

/** What OpenBao stored that this node's cluster encrypted elsewhere. */
function storedBlob({ keyring, sealKeys }: Holding, wrappedKey = bytesOf({ keyring })): SealBlob {
  const opened = OpenKeyring.from(keyring, sealKeys)
  return { ciphertext: blobOf(opened), iv: NO_AAD, keyId: opened.keyId, wrappedKey, mechanism: 0n }
}

async function decrypted(blob: SealBlob): Promise<string> {
  return Buffer.from(await service.decrypt(blob, NO_AAD, signal)).toString()
}

describe('the keyring beside a blob', () => {
  it('is always the one that is held now', async () => {
    await open()
    expect((await service.encrypt(ROOT_KEY, NO_AAD)).wrappedKey).toEqual(bytesOf(first))
    await node.rotate()
    const { wrappedKey, keyId } = await service.encrypt(ROOT_KEY, NO_AAD)
    expect(decodeKeyring(wrappedKey)).toEqual(node.held().keyring)
    expect(keyId).toBe(service.keyId())
    expect(keyId.startsWith(node.held().keyId)).toBe(true)
    await node.absorb(bytesOf(await enrolled(first, [fakeSeal({ device: 'b' })])))
    const learned = decodeKeyring((await service.encrypt(ROOT_KEY, NO_AAD)).wrappedKey)
    expect(learned.members).toHaveLength(2)
    expect(learned).toEqual(node.held().keyring)
  })

  it.each<[string, () => Uint8Array | Promise<Uint8Array>]>([
    ['is missing', () => NO_AAD],
    ['is junk', () => randomBytes(500)],
    ['is one byte', () => Uint8Array.of(0)],
    ['is too large', () => new Uint8Array(MAX_KEYRING_BYTES + 1)],
    ['is cut', () => bytesOf(first).subarray(0, -1)],
    ['is of another cluster', async () => bytesOf(await begun([seal], 'another cluster'))],
    ['has a forged MAC', () => withForgedMac(first)],
    ['has a forged lineage', () => withForgedLineage(ahead(first))],
    ['is ahead, and has a forged MAC', () => withForgedMac(ahead(first, 2))],
  ])('keeps nobody from decrypting if it %s', async (_, junk) => {
    await open()
    expect(await decrypted(storedBlob(first, await junk()))).toBe('root key')
    expect(await decrypted(storedBlob(first, await junk()))).toBe('root key')
  })

  it('is learned before its blob is decrypted: it may be the only one that can', async () => {
    await open()
    expect(await decrypted(storedBlob(ahead(await begun([fakeSeal({ device: 'b' })]), 2)))).toBe('root key')
  })

  it('opens a node that has no store, within the call that brought it', async () => {
    await using running = runBeside(signal, limit =>
      node.custody.holder.run({ probeIntervalMs: 60_000, signal: limit }),
    )
    expect(await decrypted(storedBlob(first))).toBe('root key')
    await running[Symbol.asyncDispose]()
  })
})

describe('encrypting', () => {
  it('goes on when what is held is replaced in the midst of a call: OpenBao never repeats it', async () => {
    await open()
    const later = bytesOf(await enrolled(first, [fakeSeal({ device: 'b' })]))
    // Two calls that come in together: the second one brings a keyring that takes the place of what is held.
    const encrypting = service.encrypt(ROOT_KEY, NO_AAD)
    const absorbing = node.absorb(later)
    const [blob] = await Promise.all([encrypting, absorbing])
    expect(await decrypted(blob)).toBe(ROOT_KEY.toString())
  })
})
