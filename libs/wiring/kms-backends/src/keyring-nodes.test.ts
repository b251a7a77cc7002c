import { randomBytes } from 'node:crypto'
import { copyFile, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeKeyring, findRecords, type Keyring } from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { activeVersion, adoptKey, type KeyObservation, keyIdOf, observeKey } from '@sealwright/kms-v2'
import { encodeEnrolmentRequest, enrolmentFingerprint, makeEnrolmentRequest } from '@sealwright/node-seals'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { admitNode } from './keyring-admit.ts'
import { importKeyring } from './keyring-bring.ts'
import { type GivingUp } from './keyring-given-up.ts'
import { restoreVersions } from './keyring-restore.ts'
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
/** A look of a plugin at a time when each version is old enough. */
const LOOK = {
  nowMs: Date.now() + 60_000,
  policy: { stableObservations: 1, activationDelayMs: 0 },
  newestWorks: true,
  refused: new Set<number>(),
}
/** An operator means what others have retired, and no plugin has run here yet. */
const MEANT: GivingUp = { acceptRetired: true, encryptingHere: () => Promise.resolve(undefined) }

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
const brought = (to: TestNode, keyring: Keyring, clusterId?: Uint8Array, giving: Partial<GivingUp> = {}) =>
  withNode(to.config(clusterId === undefined ? {} : { clusterId: Buffer.from(clusterId).toString('hex') }), node =>
    importKeyring(node, { keyring, clusterId, ...MEANT, ...giving }, signal),
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

/** Retires version 1, on the word of an operator. */
const retiredAt = (node: TestNode, version = 1) => {
  const options = { kubernetesClusterId: CLUSTER, activationDelayMs: 0, encryptingHere: undefined }
  const proof = { kind: 'word-of-operator' } as const
  const nowMs = Date.now() + 1_000
  return withNode(node.config(), each => retireVersions(each, { version, proof, nowMs, ...options }, signal))
}

/** With the id of the keyring in the configuration, as `init` says: else a record that another node made for the TPM here proves nothing. */
const restoredAt = async (node: TestNode, former: Keyring) => {
  const clusterId = Buffer.from((await exported(node)).clusterId).toString('hex')
  return await withNode(node.config({ clusterId }), each => restoreVersions(each, former, signal))
}

const copyOf = async (path: string): Promise<Keyring> => decodeKeyring(await readFile(path))

const rotated = (node: TestNode) =>
  withNode(node.config(), each => rotateKeyring(each, { handOutMs: 0, knownHere: [] }, signal))

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

describe('a version that was retired too early', () => {
  it('comes back from the copy on both nodes while their plugins run, though a newer one was made since', async () => {
    await joined()
    const [one, other] = [started(a), started(b)]
    await one.look()
    await other.look()
    const lost = await other.encryptText(1, 'of version 1')
    await rotated(a)
    await brought(b, await exported(a))
    const { keptAs } = await retiredAt(a)
    await brought(b, await exported(a))
    await rotated(a)
    for (const node of [one, other]) {
      await waitUntil(
        async () => {
          await node.look()
          return (await node.decryptText(1, lost)) === 'KMS_VERSION_RETIRED'
        },
        { ...WAIT, what: 'version 1 to go' },
      )
    }
    const { revision } = await exported(a)

    const { restored, keyring } = await restoredAt(a, await copyOf(keptAs))
    expect([restored, keyring.revision > revision]).toEqual([[1], true])
    // The other one has heard of it only by what it is brought.
    expect((await restoredAt(b, await exported(a))).restored).toEqual([1])
    await brought(b, await exported(a))
    for (const [node, store] of [
      [one, a.store],
      [other, b.store],
    ] as const) {
      await waitUntil(
        async () => {
          await node.look()
          return (await node.decryptText(1, lost)) === 'of version 1'
        },
        { ...WAIT, what: 'version 1 to be back' },
      )
      expect(await storedVersions(store)).toEqual([
        [1, 'active'],
        [2, 'active'],
        [3, 'active'],
      ])
    }
    const later = started(b)
    await other[Symbol.asyncDispose]()
    expect((await later.look()).versions.map(({ version }) => version)).toEqual([1, 2, 3])
    expect(await later.decryptText(1, lost)).toBe('of version 1')
  })

  it('is not retired again by a node that has not heard of it, unless that is meant', async () => {
    await joined()
    await rotated(a)
    await brought(b, await exported(a))
    const { keptAs } = await retiredAt(a)
    await brought(b, await exported(a))
    await restoredAt(a, await copyOf(keptAs))
    const unaware = await exported(b)
    expect(await codeOf(() => brought(a, unaware, undefined, { acceptRetired: false }))).toBe('KMS_KEYRING_VERSION')
    expect(await storedVersions(a.store)).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
    const { givenUp } = await brought(a, unaware)
    expect((await restoredAt(a, await copyOf(givenUp.keptAs ?? ''))).restored).toEqual([1])
  })

  it('comes back with all that were retired since, also those of later retirements', async () => {
    await joined()
    await rotated(a)
    await rotated(a)
    const { keptAs: first } = await retiredAt(a, 1)
    const { keptAs: second } = await retiredAt(a, 2)
    expect((await restoredAt(a, await copyOf(second))).restored).toEqual([2])
    expect((await restoredAt(a, await copyOf(first))).restored).toEqual([1])
    await retiredAt(a, 2)
    expect((await restoredAt(a, await copyOf(first))).restored).toEqual([1, 2])
    expect((await started(a).look()).versions.map(({ version }) => version)).toEqual([1, 2, 3])
  })

  it('is back for a node that was let in meanwhile once it is let in again', async () => {
    await initialised(a.config())
    const opened = started(a)
    await opened.look()
    const lost = await opened.encryptText(1, 'of version 1')
    await rotated(a)
    const { keptAs } = await retiredAt(a)
    const { clusterId } = await exported(a)
    await brought(b, await admitted(a, b), clusterId)
    await restoredAt(a, await copyOf(keptAs))
    const theirs = await exported(a)
    expect(await codeOf(() => restoredAt(b, theirs))).toBe('KMS_KEYRING_VERSION')
    const answer = await admitted(a, b)
    expect((await restoredAt(b, answer)).restored).toEqual([1])
    const newcomer = started(b)
    await newcomer.look()
    expect(await newcomer.decryptText(1, lost)).toBe('of version 1')
    expect(await codeOf(() => admitted(a, b))).toBe('KMS_KEYRING_MEMBER_KNOWN')
  })

  it('comes back from no keyring of another cluster, and from none that somebody has changed', async () => {
    await joined()
    await rotated(a)
    const { keptAs } = await retiredAt(a)
    const copy = await copyOf(keptAs)
    const { bytes } = await readStored(a.store)
    const labelled = copy.members.map(member => ({ ...member, label: randomBytes(4).toString('hex') }))
    expect(await codeOf(() => restoredAt(a, { ...copy, members: labelled }))).toBe('KMS_KEYRING_SEALED')
    const nothing = await exported(a)
    expect(await codeOf(() => restoredAt(a, nothing))).toBe('KMS_KEYRING_VERSION')
    const elsewhere = await testNode('elsewhere')
    const { keyring: theirs } = await initialised(elsewhere.config())
    expect(await codeOf(() => restoredAt(a, theirs))).toBe('KEYRING_OTHER_CLUSTER')
    expect((await readStored(a.store)).bytes).toEqual(bytes)
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
    await retiredAt(a)
    await brought(b, await exported(a))
    expect(await storedVersions(b.store)).toEqual([
      [1, 'retired'],
      [2, 'active'],
    ])
    await a.swtpm.kill()
    expect((await started(b).look()).versions.map(({ version }) => version)).toEqual([2])
  })

  it('does not bring that a version was retired unless it is meant, and then keeps a copy from before', async () => {
    await joined()
    await rotated(a)
    await brought(b, await exported(a))
    await retiredAt(a)
    const theirs = await exported(a)
    const before = await exported(b)
    expect(await codeOf(() => brought(b, theirs, undefined, { acceptRetired: false }))).toBe('KMS_KEYRING_VERSION')
    expect(await exported(b)).toEqual(before)
    expect(await readdir(b.store)).not.toContain('keyring.before-retire-1')
    const { givenUp } = await brought(b, theirs)
    expect(givenUp.versions).toEqual([1])
    expect(await copyOf(givenUp.keptAs ?? '')).toEqual(before)
    // It is brought once more, and there is nothing to mean any more.
    expect(await codeOf(() => brought(b, theirs, undefined, { acceptRetired: false }))).toBe('none')
  })

  it('does not bring that a version was retired to a node whose plugin encrypts by it, whatever an operator means', async () => {
    await joined()
    const lagging = started(b)
    const { versions } = await lagging.look()
    const [encrypting] = versions
    await rotated(a)
    const { keptAs } = await retiredAt(a)
    const wrapped = await lagging.encryptText(1, 'written by a node that lags behind')
    const giving = { acceptRetired: true, encryptingHere: () => Promise.resolve(encrypting) }
    const theirs = await exported(a)
    expect(await codeOf(() => brought(b, theirs, undefined, giving))).toBe('KMS_KEYRING_VERSION')
    expect((await storedVersions(b.store)).map(([version]) => version)).toEqual([1])
    // The way that the message names: the newer version comes, and the older one stays.
    await brought(b, await copyOf(keptAs), undefined, giving)
    await waitUntil(async () => (await lagging.look()).versions.length === 2, { ...WAIT, what: 'version 2' })
    expect(await lagging.decryptText(1, wrapped)).toBe('written by a node that lags behind')
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

  it('ends a fork by the way that the refusal tells: back by keyring.previous, if the own version is gone then', async () => {
    await joined()
    await rotated(a)
    await rotated(b)
    const [told] = await Promise.allSettled([brought(b, await exported(a))])
    const words = expect.stringMatching(
      /cp -p keyring\.previous keyring.*keyring show.*move the whole store aside/,
    ) as unknown
    expect(told).toMatchObject({ reason: { code: 'KMS_KEYRING_FORKED', message: words } })
    await copyFile(join(b.store, 'keyring.previous'), join(b.store, 'keyring'))
    expect(await storedVersions(b.store)).toEqual([[1, 'active']])
    await brought(b, await exported(a))
    expect((await readStored(b.store)).keyring.generations).toEqual((await exported(a)).generations)
  })

  it('ends a fork where keyring.previous leads back into it, with the store moved aside', async () => {
    await joined()
    const { clusterId } = await exported(a)
    await rotated(a)
    await rotated(b)
    await rotated(b)
    const forked = observeKey(null, await started(b).look(), LOOK)
    await copyFile(join(b.store, 'keyring.previous'), join(b.store, 'keyring'))
    expect((await storedVersions(b.store)).map(([version]) => version)).toEqual([1, 2])
    const theirs = await exported(a)
    expect(await codeOf(() => brought(b, theirs))).toBe('KMS_KEYRING_FORKED')
    await rename(b.store, `${b.store}.forked`)
    await brought(b, theirs, clusterId)
    const one = started(a)
    const [wrapped, other] = [await one.look().then(() => one.encryptText(2, 'by version 2')), started(b)]
    const seen = await other.look()
    expect(await other.decryptText(2, wrapped)).toBe('by version 2')
    // What the plugin of that node remembers of the fork has to be given up, too: sealctl kms adopt-key.
    const remembered = { ...forked, versions: forked.versions.filter(({ version }) => version <= 2) }
    expect(observeKey(remembered, seen, LOOK).trouble?.kind).toBe('replaced')
    const { life } = adoptKey({ provider: 'keyring', clusterId: CLUSTER, life: remembered })
    const adopted = observeKey({ ...life, doubts: 0, trouble: null }, seen, { ...LOOK, isFirst: true })
    expect([adopted.trouble, activeVersion(adopted)?.version]).toEqual([null, 2])
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
