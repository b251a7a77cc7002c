import { createCipheriv, randomBytes } from 'node:crypto'
import { type SealFacts } from '@sealwright/raft-snapshot'
import { decodeSealBlob } from '@sealwright/seal-plugin'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, broken, bytesOf, flipped, type Holding, sealKeyNamed } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { retireByFacts } from './retire.ts'

const { signal } = new AbortController()
const NO_AAD = new Uint8Array()
const SUMS = { metaJson: new Uint8Array(32).fill(1), stateBin: new Uint8Array(32).fill(2) }
const ROOT_KEY = new Uint8Array(60).fill(7)

let folder: TemporaryFolder
let seal: FakeSeal
let node: TestNode
let first: Holding

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  node = testNode({ storePath: folder.join('seal'), seals: [seal], opening: { opensStaticBlobs: true } })
  first = await begun([seal])
  await node.store(first.keyring)
  await node.tryToOpen()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** One field of a protobuf message whose value is bytes, of less than 16,384. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  const { byteLength } = bytes
  const length = byteLength < 0x80 ? [byteLength] : [(byteLength % 0x80) + 0x80, Math.floor(byteLength / 0x80)]
  return Buffer.concat([Uint8Array.of(number * 8 + 2, ...length), bytes])
}

/** What OpenBao stores of a ciphertext; with a nonce where its own static seal has made it. */
function stored(ciphertext: Uint8Array, iv: Uint8Array = new Uint8Array(), keyId = 'told'): Uint8Array {
  const nonce = iv.byteLength === 0 ? [] : [field(2, iv)]
  return Buffer.concat([field(1, ciphertext), ...nonce, field(5, field(3, Buffer.from(keyId)))])
}

/** What OpenBao's own static seal has encrypted under the first key of the cluster. */
function staticBlob(): Uint8Array {
  const iv = randomBytes(12)
  using sealKey = sealKeyNamed('first')
  const cipher = sealKey.reveal(key => createCipheriv('aes-256-gcm', key, iv))
  const ciphertext = Buffer.concat([cipher.update(ROOT_KEY), cipher.final(), cipher.getAuthTag()])
  return stored(ciphertext, iv, node.held().keyring.generations[0]?.keyId)
}

/** With one bit changed at the end of its ciphertext. */
function garbled(blob: Uint8Array): Uint8Array {
  const { ciphertext, iv, keyId } = decodeSealBlob(blob)
  return stored(flipped(ciphertext), iv, keyId)
}

/** Of what the current key has encrypted. */
const encrypted = (plaintext: Uint8Array): Uint8Array =>
  stored(node.held().encryptBlob({ plaintext, aad: NO_AAD, randomBytes }))

/** A snapshot that the current key has sealed now. */
function snapshotOf(
  storedKeys: Uint8Array,
  { servers = [], recoveryKey }: { readonly servers?: readonly string[]; readonly recoveryKey?: Uint8Array } = {},
): SealFacts {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const sums = Buffer.from(`${hex(SUMS.metaJson)}  meta.json\n${hex(SUMS.stateBin)}  state.bin\n`)
  const named = servers.map(id => ({ id, address: 'h:1', suffrage: 'voter' as const }))
  const metadata = {
    version: 1 as const,
    id: 's',
    index: 1,
    term: 1,
    configurationIndex: 1,
    servers: named,
    stateBytes: 0,
  }
  const file = { byteLength: 0, sha256: new Uint8Array(32) }
  const snapshot = {
    file,
    metadata,
    entryCount: 2,
    sums: SUMS,
    sealedSums: encrypted(sums),
    partsTooLargeToRestore: [],
  }
  const sealConfig = { type: 'sealwright' } as unknown as SealFacts['sealConfig']
  return { snapshot, sealConfig, recoveryConfig: undefined, storedKeys, recoveryKey }
}

const states = (): readonly string[] => node.held().keyring.generations.map(({ state }) => state)

const retire = (facts: SealFacts, lostNodes: readonly string[] = []) =>
  retireByFacts(node.custody, { facts, lostNodes }, signal)

describe('retiring by a snapshot', () => {
  it('retires what the snapshot does not name, and keeps what it names', async () => {
    await node.rotate()
    const by2 = encrypted(ROOT_KEY)
    await node.rotate()
    await retire(snapshotOf(by2))
    expect(states()).toEqual(['retired', 'active', 'active'])
    await retire(snapshotOf(encrypted(ROOT_KEY)))
    expect(states()).toEqual(['retired', 'retired', 'active'])
  })

  it('keeps what a rotation made old meanwhile: newer blobs may name it', async () => {
    await node.rotate()
    const facts = snapshotOf(encrypted(ROOT_KEY))
    const rotating = node.rotate()
    await Promise.all([retire(facts), rotating])
    expect(states()).toEqual(['retired', 'active', 'active'])
  })

  it('keeps the first generation as long as a blob of the static seal is there, which names no key that is authentic', async () => {
    await node.rotate()
    await retire(snapshotOf(staticBlob()))
    expect(states()).toEqual(['active', 'active'])
  })

  it('refuses a snapshot that the current key has not sealed', async () => {
    const facts = snapshotOf(encrypted(ROOT_KEY))
    await node.rotate()
    await expect(retire(facts)).rejects.toMatchObject({ code: 'OPERATION_SNAPSHOT_REFUSED' })
  })

  it('refuses a snapshot that needs what is retired here: it is of other storage', async () => {
    const by1 = encrypted(ROOT_KEY)
    await node.rotate()
    await retire(snapshotOf(encrypted(ROOT_KEY)))
    await expect(retire(snapshotOf(by1))).rejects.toMatchObject({ code: 'OPERATION_SNAPSHOT_REFUSED' })
  })

  it('refuses a snapshot that needs a key which a break elsewhere has given up: it is in memory alone', async () => {
    await node.rotate()
    const givenUp = encrypted(ROOT_KEY)
    await node.absorb(bytesOf(await broken(first, [seal])))
    expect(states()).toEqual(['active', 'active'])
    await expect(retire(snapshotOf(givenUp))).rejects.toMatchObject({
      code: 'OPERATION_SNAPSHOT_REFUSED',
      message: expect.stringContaining('which the keyring does not list') as string,
    })
    expect(states()).toEqual(['active', 'active'])
  })

  it('keeps what the recovery key alone names', async () => {
    const recoveryKey = encrypted(ROOT_KEY)
    await node.rotate()
    await retire(snapshotOf(encrypted(ROOT_KEY), { recoveryKey }))
    expect(states()).toEqual(['active', 'active'])
  })

  const sound = (): Uint8Array => encrypted(ROOT_KEY)
  it.each<[string, () => SealFacts]>([
    ['a root key that was changed', () => snapshotOf(garbled(sound()))],
    ['a recovery key that was changed', () => snapshotOf(sound(), { recoveryKey: garbled(sound()) })],
    ['a blob of the static seal that was changed', () => snapshotOf(garbled(staticBlob()))],
    ['a blob of the static seal that names another key', () => snapshotOf(stored(randomBytes(64), randomBytes(12)))],
    ['a root key that is no envelope', () => snapshotOf(stored(randomBytes(64)))],
    ['a root key that is no blob', () => snapshotOf(Uint8Array.of(255, 255))],
  ])('refuses a snapshot with %s, though the seal of the whole is right', async (_what, facts) => {
    await node.rotate()
    const retiring = retire(facts())
    await expect(retiring).rejects.toMatchObject({ code: 'OPERATION_SNAPSHOT_REFUSED' })
    await expect(retiring).rejects.toThrow('does not open here')
    expect(states()).toEqual(['active', 'active'])
  })

  it('retires nothing while a server is known by no TPM member here, unless it is named as lost', async () => {
    await node.rotate()
    const facts = snapshotOf(encrypted(ROOT_KEY), { servers: ['elsewhere'] })
    await expect(retire(facts)).rejects.toMatchObject({ code: 'OPERATION_NODES_UNKNOWN' })
    await retire(facts, ['elsewhere'])
    expect(states()).toEqual(['retired', 'active'])
  })
})
