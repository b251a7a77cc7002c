import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encryptEnvelope } from '@sealwright/envelope'
import { decodeKeyring, encodeKeyring, type Keyring, type KeyringRecord } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { type SealedNode } from '@sealwright/testing-cluster'
import { expectedTpmOf, readTpmIdentity, sealKekForRemote } from '@sealwright/tpm'
import { expectOpensByItself, expectSealed, expectSealWorks, statusOf } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { waitForAgentLine } from './node-log.ts'
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

/** How the forger joins their generation to the genuine one, and what the agent says to it. */
interface Forgery {
  readonly link: 'none' | 'under their own key'
  readonly code: string
  readonly message: string
}

const FORGERIES: readonly Forgery[] = [
  { link: 'none', code: 'STORE_KEYRING_INVALID', message: 'generation 1 has no link to the next one' },
  { link: 'under their own key', code: 'KEYRING_LINK_BROKEN', message: 'generation 2 is not the one' },
]

const scope = testScope()
let node: SealedNode
let rootToken: string
let genuine: Buffer

beforeEach(async () => {
  ;({ node, rootToken } = await openNode(scope))
  genuine = await readFile(keyringPath(node))
})

describe.each(FORGERIES)('a keyring with a forged generation on top, link: $link', ({ link, code, message }) => {
  it('is refused by an agent that starts; OpenBao stays sealed, and opens by itself once the keyring is back', async () => {
    const { bytes, keyId } = await forge(genuine, link)
    await cutPower(node)
    const before = await findInOpenBao(genuineKeyId(genuine))
    expect(before.length).toBeGreaterThan(0)

    await writeFile(keyringPath(node), bytes)
    await boot(node)
    await expectSealed(node, { code, message, retrying: true })
    await expectNeverUsed(keyId)
    expect(await readFile(keyringPath(node), 'hex')).toBe(Buffer.from(bytes).toString('hex'))

    await writeFile(keyringPath(node), genuine)
    await expectOpensByItself(node)
    await expectSealWorks(node, rootToken)
    await expectNeverUsed(keyId)
  })

  it('does not take the place of the one that an agent holds; the seal is reported as failing', async () => {
    const { bytes, keyId } = await forge(genuine, link)
    await writeFile(keyringPath(node), bytes)

    const held = { keyId: genuineKeyId(genuine), generation: 1 }
    const status = await statusOf(node)
    expect(status).toMatchObject({
      state: 'open',
      keyring: held,
      seals: [{ health: { state: 'failing', code, retrying: true } }],
    })
    expect(status.exitCode).not.toBe(0)
    await waitForAgentLine(node, { msg: 'seal failed', seal: 'tpm', code })
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
  kind: Forgery['link'],
): Promise<{ readonly bytes: Uint8Array; readonly keyId: string }> {
  const genuine = decodeKeyring(genuineBytes)
  const [genuineRecord] = genuine.records
  const [from] = genuine.generations
  if (genuineRecord === undefined || from === undefined) throw new Error('the genuine keyring has no record')
  const sealKey = randomBytes(32)
  const keyCheck = derive(sealKey, 'key check', 16)
  const keyId = `sw-${derive(sealKey, 'key id', 8).toString('hex')}`
  const to = { number: from.number + 1, keyCheck, keyId }
  const link = encryptEnvelope({
    key: new Secret(derive(sealKey, 'link key', 32, genuine.clusterId)),
    purpose: 'keyring-link',
    keyRef: Buffer.from(from.keyId),
    context: [genuine.clusterId, uint32(from.number), uint32(to.number), keyCheck, Buffer.from(keyId)],
    plaintext: sealKey,
    randomBytes,
  })
  const forged: Keyring = {
    ...genuine,
    revision: genuine.revision + 1,
    currentGeneration: to.number,
    generations: [...genuine.generations, to],
    records: [...genuine.records, await forgeRecord(genuine, genuineRecord, to.number, sealKey)],
    links: [{ from: from.number, wrappedKey: link }],
    mac: new Uint8Array(MAC_BYTES),
  }
  const linked = encodeKeyring(forged).subarray(0, -MAC_BYTES)
  const body = kind === 'none' ? withoutLink(linked, link) : linked
  const mac = createHmac('sha256', derive(sealKey, 'mac key', 32, genuine.clusterId))
    .update(body)
    .digest()
  return { bytes: Buffer.concat([body, mac]), keyId }
}

/** The last list of a keyring without its only entry, which the encoder would not leave out. */
function withoutLink(body: Uint8Array, link: Uint8Array): Uint8Array {
  const entryBytes = 4 + 2 + link.byteLength
  const noEntries = Uint8Array.of(0, 0)
  return Buffer.concat([body.subarray(0, -(noEntries.byteLength + entryBytes)), noEntries])
}

/** A record that the TPM of the genuine one opens: its KEK is wrapped for the public storage key. */
async function forgeRecord(
  { clusterId }: Keyring,
  genuine: KeyringRecord,
  generation: number,
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
    context: [clusterId, sealId, Uint8Array.of(1), memberId, uint32(generation), Uint8Array.of(2)],
    plaintext: sealKey,
    randomBytes,
  })
  return { ...genuine, generation, method: 'tpm-imported', sealedKek, wrappedKey }
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
  expect(readFileSync(node.agent().logPath, 'utf8')).not.toContain(keyId)
}
