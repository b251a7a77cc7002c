import { createHash, createHmac, createPrivateKey, createPublicKey, hkdfSync, randomBytes, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encryptEnvelope } from '@sealwright/envelope'
import {
  decodeKeyring,
  encodeKeyring,
  type Generation,
  type Keyring,
  type KeyringRecord,
  type Link,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type SealedNode } from '@sealwright/testing-cluster'
import { expectedTpmOf, readTpmIdentity, sealKekForRemote } from '@sealwright/tpm'
import { expectOpensByItself, expectSealed, expectSealWorks, statusOf } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { agentLines, waitForAgentLine } from './node-log.ts'
import { openNode } from './served-node.ts'
import { keyringPath } from './store-files.ts'
import { testScope } from './test-scope.ts'

/*
 * Somebody can write the keyring of the store and knows the public half of the TPM's storage key, as every other node does.
 * They know no seal key and never use the TPM. They keep all that is genuine and put a generation of their own on top, with a
 * record that the TPM opens. Once it were accepted, OpenBao would encrypt its root key anew, for them.
 *
 * All of it is computed here from docs/formats/keyring.md, since the libraries make no such thing.
 */

const MAC_BYTES = 32

/** How the forger vouches for their generation, and what the agent says to it. */
interface Forgery {
  readonly vouching: 'by their own key' | 'by taking the place of the first one'
  readonly message: string
}

const FORGERIES: readonly Forgery[] = [
  { vouching: 'by their own key', message: 'is not vouched for by the one before it' },
  { vouching: 'by taking the place of the first one', message: 'its first generation is of another cluster' },
]
const CODE = 'STORE_KEYRING_INVALID'

const scope = testScope()
let node: SealedNode
let rootToken: string
let genuine: Buffer

beforeEach(async () => {
  ;({ node, rootToken } = await openNode(scope))
  genuine = await readFile(keyringPath(node))
})

describe.each(FORGERIES)('a keyring with a forged generation, vouched for $vouching', ({ vouching, message }) => {
  it('is refused by an agent that starts; OpenBao stays sealed, and opens by itself once the keyring is back', async () => {
    const { bytes, keyId } = await forge(genuine, vouching)
    await cutPower(node)
    const before = await findInOpenBao(genuineKeyId(genuine))
    expect(before.length).toBeGreaterThan(0)

    await writeFile(keyringPath(node), bytes)
    await boot(node)
    await expectSealed(node, { code: CODE, message, retrying: true })
    await expectNeverUsed(keyId)
    expect(await readFile(keyringPath(node), 'hex')).toBe(Buffer.from(bytes).toString('hex'))

    await writeFile(keyringPath(node), genuine)
    await expectOpensByItself(node)
    await expectSealWorks(node, rootToken)
    await expectNeverUsed(keyId)
  })

  it('does not take the place of the one that an agent holds; the seal is reported as failing', async () => {
    const { bytes, keyId } = await forge(genuine, vouching)
    await writeFile(keyringPath(node), bytes)

    const held = { keyId: genuineKeyId(genuine), generation: 1 }
    const status = await statusOf(node)
    expect(status).toMatchObject({
      state: 'open',
      keyring: held,
      seals: [{ health: { state: 'failing', code: CODE, retrying: true } }],
    })
    expect(status.exitCode).not.toBe(0)
    await waitForAgentLine(node, { msg: 'seal failed', seal: 'tpm', code: CODE })
    await expect(node.openBao().state()).resolves.toBe('active')
    await expectSealWorks(node, rootToken)
    await expectNeverUsed(keyId)

    await writeFile(keyringPath(node), genuine)
    await expect(statusOf(node)).resolves.toMatchObject({
      exitCode: 0,
      keyring: held,
      seals: [{ health: { state: 'healthy' } }],
    })
  })
})

/** The forged keyring, and the id of the key in it that the forger knows. */
async function forge(
  genuineBytes: Uint8Array,
  vouching: Forgery['vouching'],
): Promise<{ readonly bytes: Uint8Array; readonly keyId: string }> {
  const genuine = decodeKeyring(genuineBytes)
  const [genuineRecord] = genuine.records
  const [first] = genuine.generations
  if (genuineRecord === undefined || first === undefined) throw new Error('the genuine keyring has no record')
  const sealKey = randomBytes(32)
  const isOnTop = vouching === 'by their own key'
  const parent = isOnTop ? first : { number: 0, id: Buffer.alloc(16) }
  const to = describeGeneration(genuine.clusterId, parent, sealKey)
  const record = await forgeRecord(genuine, genuineRecord, to.id, sealKey)
  const forged: Keyring = {
    ...genuine,
    revision: genuine.revision + 1,
    generations: isOnTop ? [first, to] : [to],
    records: isOnTop
      ? [genuineRecord, record].sort((a, b) => Buffer.compare(a.generationId, b.generationId))
      : [record],
    links: isOnTop ? [forgeLink(genuine.clusterId, first, to, sealKey)] : [],
    mac: new Uint8Array(MAC_BYTES),
  }
  const body = encodeKeyring(forged).subarray(0, -MAC_BYTES)
  const mac = createHmac('sha256', derive(sealKey, 'mac key', 32, genuine.clusterId))
    .update(body)
    .digest()
  return { bytes: Buffer.concat([body, mac]), keyId: to.keyId }
}

/** A link to the forger's generation, made without the key that it would take. */
function forgeLink(clusterId: Uint8Array, from: Generation, to: Generation, sealKey: Uint8Array): Link {
  const wrappedKey = encryptEnvelope({
    key: new Secret(derive(sealKey, 'link key', 32, clusterId)),
    purpose: 'keyring-link',
    keyRef: Buffer.from(from.keyId),
    context: [clusterId, from.id, to.id],
    plaintext: sealKey,
    randomBytes,
  })
  return { toId: to.id, wrappedKey }
}

/** A generation that the forger signs, since they do not have the key of its parent. */
function describeGeneration(
  clusterId: Uint8Array,
  parent: Pick<Generation, 'number' | 'id'>,
  sealKey: Uint8Array,
): Generation {
  const pkcs8 = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    derive(sealKey, 'signing key', 32),
  ])
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  const signingKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32)
  const number = parent.number + 1
  const id = derive(sealKey, 'generation id', 16)
  const keyId = `sw-${derive(sealKey, 'key id', 8).toString('hex')}`
  const statement = [
    Buffer.from('sealwright keyring v1 generation'),
    clusterId,
    uint32(number),
    id,
    parent.id,
    Uint8Array.of(1),
    Buffer.from(keyId),
    signingKey,
  ].flatMap(field => [uint32(field.byteLength), field])
  const signature = sign(null, Buffer.concat(statement), privateKey)
  return { number, id, parentId: parent.id, step: 'chained', state: 'active', keyId, signingKey, signature }
}

/** A record that the TPM of the genuine one opens: its KEK is wrapped for the public storage key. */
async function forgeRecord(
  { clusterId }: Keyring,
  genuine: KeyringRecord,
  generationId: Uint8Array,
  sealKey: Uint8Array,
): Promise<KeyringRecord> {
  const transport = { kind: 'unix', path: node.tpm.socketPath } as const
  const { storageKey } = await readTpmIdentity({ transport, timeoutMs: 10_000, randomBytes })
  const { endorsementKeyName } = expectedTpmOf(genuine.sealedKek)
  const kek = new Secret(randomBytes(32))
  const sealedKek = sealKekForRemote({ storageKey, endorsementKeyName }, { policy: { kind: 'none' } }, kek, randomBytes)
  const { sealId, memberId } = genuine
  const wrappedKey = encryptEnvelope({
    key: kek,
    purpose: 'keyring-record',
    keyRef: createHash('sha256').update(sealedKek).digest(),
    context: [clusterId, sealId, Uint8Array.of(1), memberId, generationId, Uint8Array.of(2)],
    plaintext: sealKey,
    randomBytes,
  })
  return { ...genuine, generationId, method: 'tpm-imported', sealedKek, wrappedKey }
}

function derive(sealKey: Uint8Array, label: string, byteLength: number, salt: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.from(hkdfSync('sha256', sealKey, salt, `sealwright keyring v1 ${label}`, byteLength))
}

function uint32(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

function genuineKeyId(bytes: Uint8Array): string {
  return decodeKeyring(bytes).generations[0]?.keyId ?? ''
}

/** The files of OpenBao's storage that name a key. */
async function findInOpenBao(keyId: string): Promise<readonly string[]> {
  const { dataDirectory } = node.openBao()
  const entries = await readdir(dataDirectory, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return files.filter(file => readFileSync(file).includes(keyId))
}

/** Neither OpenBao's storage nor its log, nor that of the agent, names the forger's key: nothing was encrypted under it. */
async function expectNeverUsed(keyId: string): Promise<void> {
  expect(await findInOpenBao(keyId)).toEqual([])
  expect(readFileSync(node.openBao().logPath, 'utf8')).not.toContain(keyId)
  expect(agentLines(node, { msg: 'keyring opened', keyId })).toEqual([])
}
