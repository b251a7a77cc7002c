import { createPrivateKey, hkdfSync, sign } from 'node:crypto'
import { currentGeneration, type Keyring } from '@sealwright/keyring'
import { type Secret } from '@sealwright/secret'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { sealOperations } from '../operations/operations.ts'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { begun, broken, bytesOf, type Holding, sealKeyNamed, withMac } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'

type Generation = Keyring['generations'][number]

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const SIGNING_KEY_BYTES = 32
/** RFC 8410 §7: a PrivateKeyInfo of Ed25519, up to the seed. */
const PKCS8_OF_SEED = Buffer.from('302e020100300506032b657004220420', 'hex')

let folder: TemporaryFolder
let ours: FakeSeal
let first: Holding
let after: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  ours = fakeSeal()
  first = await begun([ours, fakeSeal({ name: 'other', device: 'other' })])
  after = await broken(first, [ours])
  node = await deceived()
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** A node that knows nothing of the break, and took from a blob what somebody with the first key signed under the id of its generation. */
async function deceived(): Promise<TestNode> {
  const made = testNode({ storePath: folder.join('seal'), seals: [ours] })
  await made.store(first.keyring)
  await made.tryToOpen()
  const twin = signedAs('intruder', currentGeneration(after.keyring), first.keyring)
  const generations = [...first.keyring.generations, twin]
  await made.absorb(
    bytesOf({ keyring: withMac({ ...first, keyring: { ...first.keyring, generations, revision: 9 } }) }),
  )
  expect(made.held().keyring.generations.map(({ keyId }) => keyId)).toContain('intruder')
  return made
}

/** The same generation under another key id, pending, as whoever has the key of its parent signs it: docs/formats/keyring.md §6.5. */
function signedAs(keyId: string, generation: Generation, { clusterId }: Keyring): Generation {
  const { number, id, parentId, signingKey } = generation
  const broken = Uint8Array.of(2)
  const name = Buffer.from('sealwright keyring v1 generation')
  const fields = [name, clusterId, uint32(number), id, parentId, broken, Buffer.from(keyId), signingKey]
  const message = Buffer.concat(fields.flatMap(field => [uint32(field.byteLength), field]))
  const signature = Uint8Array.from(sign(null, message, signingKeyOf(sealKeyNamed('first'))))
  return { ...generation, keyId, signature, state: 'pending' }
}

function signingKeyOf(sealKey: Secret) {
  const seed = sealKey.reveal(key =>
    hkdfSync('sha256', key, '', 'sealwright keyring v1 signing key', SIGNING_KEY_BYTES),
  )
  const key = Buffer.concat([PKCS8_OF_SEED, Buffer.from(seed)])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

describe('a node that took a twin of the generation after a break before it heard of the break', () => {
  it('takes the break from a blob, and stores it', async () => {
    await node.absorb(bytesOf(after))
    expect(node.refused).toEqual([])
    expect(node.held().keyring).toEqual(after.keyring)
    await node.settle()
    expect(await node.storedKeyring()).toEqual(after.keyring)
  })

  it('takes it after a restart, and from an operator', async () => {
    await node.settle()
    await node[Symbol.asyncDispose]()
    node = testNode({ storePath: folder.join('seal'), seals: [ours] })
    await node.tryToOpen()
    expect(node.held().keyring.generations.map(({ keyId }) => keyId)).toContain('intruder')
    using operations = sealOperations({
      ...{ custody: node.custody, configured: () => [], seals: () => [ours] },
      reload: () => Promise.reject(new Error('there is no file to read')),
    })
    await operations.importKeyring({ bytes: bytesOf(after), caller }, signal)
    expect(node.held().keyring).toEqual(after.keyring)
  })

  it('cannot bring the twin to a node that knows of the break', async () => {
    const twin = bytesOf({ keyring: node.held().keyring })
    await node.absorb(bytesOf(after))
    await node.absorb(twin)
    expect(node.refused).toEqual([])
    expect(node.held().keyring).toEqual(after.keyring)
  })
})
