import { randomBytes } from 'node:crypto'
import { decodeKeyring, findRecords, type Keyring } from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { type KeyObservation, keyIdOf } from '@sealwright/kms-v2'
import { encodeEnrolmentRequest, enrolmentFingerprint, makeEnrolmentRequest } from '@sealwright/node-seals'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { admitNode } from './keyring-admit.ts'
import { importKeyring } from './keyring-bring.ts'
import { retireVersions } from './keyring-retire.ts'
import { rotateKeyring } from './keyring-rotate.ts'
import { readStored } from './keyring-store.ts'
import {
  backendConfig,
  CLUSTER,
  codeOf,
  initialised,
  runningBackend,
  type Running,
  type SealFields,
  signal,
  storedVersions,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

const WAIT = { timeoutMs: 20_000 }

/** A control-plane node with a TPM of its own. */
interface TestNode {
  readonly swtpm: Swtpm
  readonly store: string
  config(backend?: SealFields): KeyringBackendConfig
}

let folder: TemporaryFolder
let used: AsyncDisposableStack
let a: TestNode
let b: TestNode

async function testNode(name: string): Promise<TestNode> {
  const own = await temporaryFolder()
  const swtpm = await startSwtpm({ directory: own.path })
  used.defer(async () => {
    await swtpm.stop()
    await own.remove()
  })
  const store = folder.join(name)
  return { swtpm, store, config: backend => backendConfig(store, [tpmFields(swtpm.socketPath)], backend) }
}

beforeEach(async () => {
  folder = await temporaryFolder()
  used = new AsyncDisposableStack()
  ;[a, b] = [await testNode('a'), await testNode('b')]
})

afterEach(async () => {
  await used.disposeAsync()
  await folder.remove()
})

const exported = async ({ store }: TestNode): Promise<Keyring> => (await readStored(store)).keyring

/** Lets `to` in at `from`. @returns the keyring that it is answered with. */
async function admitted(from: TestNode, to: TestNode, change: { fingerprint?: string } = {}): Promise<Keyring> {
  const request = await withNode(to.config(), ({ seals: [seal] }) => {
    if (seal === undefined) throw new Error('no seal')
    return makeEnrolmentRequest(seal, 'new', signal)
  })
  const admission = {
    request: encodeEnrolmentRequest(request),
    fingerprint: enrolmentFingerprint(request),
    label: 'node-b',
    ...change,
  }
  const { bytes } = await withNode(from.config(), node => admitNode(node, admission, signal))
  return decodeKeyring(bytes)
}

/** Brings a keyring to a node; an operator names the cluster, if it is one that the node does not know yet. */
const brought = (to: TestNode, keyring: Keyring, clusterId?: Uint8Array) =>
  withNode(to.config(clusterId === undefined ? {} : { clusterId: Buffer.from(clusterId).toString('hex') }), node =>
    importKeyring(node, { keyring, clusterId }, signal),
  )

/** Two nodes of one cluster. */
async function joined(): Promise<void> {
  const { keyring } = await initialised(a.config())
  const { opens } = await brought(b, await admitted(a, b), keyring.clusterId)
  expect(opens).toEqual(['tpm'])
}

function started(node: TestNode): Running {
  return used.use(runningBackend(node.config()))
}

const keyIdsOf = ({ versions }: KeyObservation): readonly string[] =>
  versions.map(version => keyIdOf({ provider: 'keyring', clusterId: CLUSTER, ...version }))

const rotated = (node: TestNode) => withNode(node.config(), each => rotateKeyring(each, { handOutMs: 0 }, signal))

describe('a further node', () => {
  it('is let in by the public key of its TPM, and then opens alone, with the same key ids', async () => {
    await joined()
    await a.swtpm.kill()
    const opened = started(b)
    const seen = await opened.look()
    await a.swtpm.start()
    expect(keyIdsOf(seen)).toEqual(keyIdsOf(await started(a).look()))
    expect(seen.versions).toHaveLength(1)
    const keyring = await exported(b)
    const methods = keyring.members.map(member => findRecords(keyring, member).map(({ method }) => method))
    expect(methods).toEqual([['tpm-sealed'], ['tpm-sealed']])
    expect(keyring.members.map(({ label }) => label).sort()).toEqual(['node', 'node-b'])
  })

  it('decrypts what the first one has encrypted, before and after a rotation that it is brought', async () => {
    await joined()
    const [one, other] = [started(a), started(b)]
    await one.look()
    await other.look()
    const first = await one.encryptText(1, 'by version 1')
    await rotated(a)
    await waitUntil(async () => (await one.look()).versions.length === 2, { ...WAIT, what: 'version 2' })
    await brought(b, await exported(a))
    const seen = await waitUntil(
      async () => {
        const observation = await other.look()
        return observation.versions.length === 2 ? observation : undefined
      },
      { ...WAIT, what: 'version 2 on the other node' },
    )
    expect(keyIdsOf(seen)).toEqual(keyIdsOf(await one.look()))
    expect(seen.versions.map(({ createdAtMs }) => createdAtMs)).toEqual(
      (await one.look()).versions.map(({ createdAtMs }) => createdAtMs),
    )
    expect(await other.decryptText(1, first)).toBe('by version 1')
    expect(await other.decryptText(2, await one.encryptText(2, 'by version 2'))).toBe('by version 2')
  })

  it('is refused if its fingerprint is another one, and nothing is written', async () => {
    await initialised(a.config())
    const { bytes } = await readStored(a.store)
    expect(await codeOf(() => admitted(a, b, { fingerprint: '0000-'.repeat(8) }))).toBe('KMS_KEYRING_NOT_CONFIRMED')
    expect((await readStored(a.store)).bytes).toEqual(bytes)
  })

  it('is not let in twice', async () => {
    await joined()
    expect(await codeOf(() => admitted(a, b))).toBe('KMS_KEYRING_MEMBER_KNOWN')
  })

  it('is not let in for a seal that the cluster does not have', async () => {
    await initialised(a.config())
    const other = { ...b, config: () => backendConfig(b.store, [tpmFields(b.swtpm.socketPath, { name: 'other' })]) }
    expect(await codeOf(() => admitted(a, other))).toBe('KMS_KEYRING_SEAL_UNKNOWN')
  })

  it('is let in again with a TPM that was replaced, and takes the answer over its own store', async () => {
    await joined()
    const { clusterId } = await exported(a)
    const before = started(b)
    await before.look()
    const wrapped = await before.encryptText(1, 'seed')
    await before[Symbol.asyncDispose]()
    await b.swtpm.replace()
    const stranger = started(b)
    expect(await stranger.lookCode()).toBe('KMS_BACKEND_REFUSED')
    await stranger[Symbol.asyncDispose]()
    const { opens, keyring } = await brought(b, await admitted(a, b), clusterId)
    expect([opens, keyring.members.length]).toEqual([['tpm'], 3])
    const later = started(b)
    expect(await later.lookCode()).toBe('none')
    expect(await later.decryptText(1, wrapped)).toBe('seed')
  })
})

describe('bringing a keyring to a node', () => {
  it('loses nothing of either, whichever is newer', async () => {
    await joined()
    const old = await exported(a)
    await rotated(a)
    await rotated(a)
    // The node is behind by two, then has all, then is brought an old one.
    await brought(b, await exported(a))
    await brought(b, old)
    expect((await storedVersions(b.store)).map(([version]) => version)).toEqual([1, 2, 3])
    // And back: what only the second node knows, its own record, comes to the first.
    await brought(a, await exported(b))
    expect((await exported(a)).records).toEqual((await exported(b)).records)
    expect((await readStored(a.store)).bytes).toEqual((await readStored(b.store)).bytes)
  })

  it('brings that a version was retired', async () => {
    await joined()
    await rotated(a)
    await brought(b, await exported(a))
    const options = { kubernetesClusterId: CLUSTER, activationDelayMs: 0, nowMs: Date.now() + 1_000 }
    const proof = { kind: 'word-of-operator' } as const
    await withNode(a.config(), node => retireVersions(node, { version: 1, proof, ...options }, signal))
    await brought(b, await exported(a))
    expect(await storedVersions(b.store)).toEqual([
      [1, 'retired'],
      [2, 'active'],
    ])
    await a.swtpm.kill()
    expect((await started(b).look()).versions.map(({ version }) => version)).toEqual([2])
  })

  it('is refused where both have rotated by themselves, and nothing is written', async () => {
    await joined()
    await rotated(a)
    await rotated(b)
    const { bytes } = await readStored(b.store)
    const theirs = await exported(a)
    expect(await codeOf(() => brought(b, theirs))).toBe('KMS_KEYRING_FORKED')
    expect((await readStored(b.store)).bytes).toEqual(bytes)
  })

  it('is refused for a keyring of another cluster', async () => {
    await initialised(a.config())
    await initialised(b.config())
    const theirs = await exported(a)
    expect(await codeOf(() => brought(b, theirs))).toBe('KEYRING_OTHER_CLUSTER')
  })

  it('is refused where no seal of the node opens it', async () => {
    await initialised(a.config())
    const theirs = await exported(a)
    expect(await codeOf(() => brought(b, theirs))).toBe('KMS_KEYRING_SEALED')
  })

  it('is refused for one that somebody has changed', async () => {
    await joined()
    const theirs = await exported(a)
    const members = theirs.members.map(member => ({ ...member, label: randomBytes(4).toString('hex') }))
    expect(await codeOf(() => brought(b, { ...theirs, members }))).toBe('KEYRING_AUTH_FAILED')
  })
})
