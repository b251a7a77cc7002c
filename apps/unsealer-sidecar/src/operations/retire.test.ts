import { randomBytes } from 'node:crypto'
import { type SealFacts } from '@sealwright/raft-snapshot'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { retireByFacts } from './retire.ts'

const { signal } = new AbortController()
const NO_AAD = new Uint8Array()
const SUMS = { metaJson: new Uint8Array(32).fill(1), stateBin: new Uint8Array(32).fill(2) }
const ROOT_KEY = new Uint8Array(60).fill(7)

let folder: TemporaryFolder
let seal: FakeSeal
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  seal = fakeSeal()
  node = testNode({ storePath: folder.join('seal'), seals: [seal] })
  await node.store((await begun([seal])).keyring)
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
function stored(ciphertext: Uint8Array, iv: Uint8Array = new Uint8Array()): Uint8Array {
  const nonce = iv.byteLength === 0 ? [] : [field(2, iv)]
  return Buffer.concat([field(1, ciphertext), ...nonce, field(5, field(3, Buffer.from('told')))])
}

/** Of what the current key has encrypted. */
const encrypted = (plaintext: Uint8Array): Uint8Array =>
  stored(node.held().encryptBlob({ plaintext, aad: NO_AAD, randomBytes }))

/** A snapshot that the current key has sealed now. */
function snapshotOf(storedKeys: Uint8Array, servers: readonly string[] = []): SealFacts {
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
  return { snapshot, sealConfig, recoveryConfig: undefined, storedKeys, recoveryKey: undefined }
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
    await retire(snapshotOf(stored(randomBytes(64), randomBytes(12))))
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

  it('retires nothing while a server is known by no TPM member here, unless it is named as lost', async () => {
    await node.rotate()
    const facts = snapshotOf(encrypted(ROOT_KEY), ['elsewhere'])
    await expect(retire(facts)).rejects.toMatchObject({ code: 'OPERATION_NODES_UNKNOWN' })
    await retire(facts, ['elsewhere'])
    expect(states()).toEqual(['retired', 'active'])
  })
})
