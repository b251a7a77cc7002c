import { randomBytes } from 'node:crypto'
import { cp, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { activateGeneration, addGeneration, encodeKeyring, makeKmsKeyId } from '@sealwright/keyring'
import {
  activeVersion,
  keyIdOf,
  type KeyLife,
  type KeyObservation,
  observeKey,
  pendingVersion,
} from '@sealwright/kms-v2'
import { openKeyringStore } from '@sealwright/node-seals'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { retireVersions, type RetireOptions } from './keyring-retire.ts'
import { rotateKeyring } from './keyring-rotate.ts'
import { type KeyringEvent } from './keyring-events.ts'
import { readStored } from './keyring-store.ts'
import { changeKeyring } from './keyring-unlock.ts'
import {
  backendConfig,
  CLUSTER,
  codeOf,
  initialised,
  runningBackend,
  type Running,
  signal,
  storedVersions,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

const HOUR_MS = 3_600_000
const VERIFICATION_LIFE_MS = 900_000
/** So many looks make the plugin believe that versions are gone. */
const CONVINCING_DOUBTS = 3
const POLICY = { stableObservations: 2, activationDelayMs: 300_000 }
/** All versions do what they should. */
const TRIALS = { newestWorks: true, refused: new Set<number>() }
const WAIT = { timeoutMs: 20_000 }

let folder: TemporaryFolder
let swtpm: Swtpm
let used: AsyncDisposableStack

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  used = new AsyncDisposableStack()
})

afterEach(async () => {
  await used.disposeAsync()
  await swtpm.stop()
  await folder.remove()
})

const configured = (store = 'store') => backendConfig(folder.join(store), [tpmFields(swtpm.socketPath)])

const rotate = (handOutMs = HOUR_MS, config = configured()) =>
  withNode(config, node => rotateKeyring(node, { handOutMs, knownHere: [] }, signal))

const retire = (options: Partial<RetireOptions> = {}) =>
  withNode(configured(), node =>
    retireVersions(
      node,
      {
        ...{ version: 1, proof: { kind: 'word-of-operator' }, kubernetesClusterId: CLUSTER },
        ...{ activationDelayMs: POLICY.activationDelayMs, encryptingHere: undefined, nowMs: Date.now() + 2 * HOUR_MS },
        ...options,
      },
      signal,
    ),
  )

/** A new cluster's backend, open. */
async function opened(): Promise<Running> {
  await initialised(configured())
  const backend = used.use(runningBackend(configured()))
  await backend.look()
  return backend
}

/** Looks until it sees what is wanted. */
function lookUntil(
  backend: Running,
  what: string,
  isIt: (observation: KeyObservation) => boolean,
): Promise<KeyObservation> {
  return waitUntil(
    async () => {
      const observation = await backend.look()
      return isIt(observation) ? observation : undefined
    },
    { ...WAIT, what },
  )
}

/** Looks until it says that the store was not taken over. */
function lookUntilNotTaken(backend: Running) {
  return waitUntil(
    async () => {
      await backend.look()
      return backend.told('store-not-taken')[0]
    },
    { ...WAIT, what: 'the store not to be taken over' },
  )
}

/** Looks until it has told of this so often. */
async function lookUntilTold(backend: Running, kind: KeyringEvent['kind'], times: number): Promise<void> {
  await waitUntil(
    async () => {
      await backend.look()
      return backend.told(kind).length >= times
    },
    { ...WAIT, what: kind },
  )
}

/** What is kept from before retirements. */
const copies = async () =>
  (await readdir(folder.join('store'))).filter(name => name.startsWith('keyring.before-retire')).sort()

const versionsOf = ({ versions }: KeyObservation) => versions.map(({ version }) => version)
const phasesOf = ({ versions }: KeyLife) => versions.map(({ version, phase }) => [version, phase])

describe('a rotation', () => {
  it('is seen by a backend that runs, waits until its date, and becomes active; both versions decrypt, without the TPM', async () => {
    const backend = await opened()
    const old = await backend.encryptText(1, 'by version 1')
    const first = observeKey(null, await backend.look(), { nowMs: Date.now(), policy: POLICY, ...TRIALS })
    expect(phasesOf(first)).toEqual([[1, 'active']])

    const { version, notBeforeMs, openedBy } = await rotate()
    expect([version, openedBy]).toEqual([2, 'tpm'])
    const observation = await lookUntil(backend, 'version 2', seen => seen.versions.length === 2)
    await swtpm.kill()
    expect(observation.versions[1]?.createdAtMs).toBe(notBeforeMs)
    let life: KeyLife = first
    const look = async (nowMs: number): Promise<void> => {
      life = observeKey(life, await backend.look(), { nowMs, policy: POLICY, ...TRIALS })
    }
    for (let times = 0; times < 5; times += 1) await look(Date.now())
    expect([activeVersion(life)?.version, pendingVersion(life)?.version]).toEqual([1, 2])
    await look(notBeforeMs + POLICY.activationDelayMs - 1)
    expect(activeVersion(life)?.version).toBe(1)
    await look(notBeforeMs + POLICY.activationDelayMs)
    expect(phasesOf(life)).toEqual([
      [1, 'retiring'],
      [2, 'active'],
    ])
    expect(await backend.decryptText(2, await backend.encryptText(2, 'by version 2'))).toBe('by version 2')
    expect(await backend.decryptText(1, old)).toBe('by version 1')
    expect(await backend.decryptText(2, old)).toBe('KMS_CIPHERTEXT_REFUSED')
  })

  it('keeps what is open while the TPM is away, and is taken over once it is back', async () => {
    const backend = await opened()
    await rotate()
    await swtpm.kill()
    expect(versionsOf(await backend.look())).toEqual([1])
    await waitUntil(() => backend.told('store-not-taken').length > 0, { ...WAIT, what: 'the failure to be told' })
    expect(await backend.decryptText(1, await backend.encryptText(1, 'goes on'))).toBe('goes on')
    await swtpm.start()
    await lookUntil(backend, 'version 2', seen => seen.versions.length === 2)
  })

  it('gives the same key ids to whoever opens it later', async () => {
    const backend = await opened()
    await rotate()
    const seen = await lookUntil(backend, 'version 2', ({ versions }) => versions.length === 2)
    await backend[Symbol.asyncDispose]()
    const later = used.use(runningBackend(configured()))
    const keyIds = ({ versions }: KeyObservation) =>
      versions.map(version => keyIdOf({ provider: 'keyring', clusterId: CLUSTER, ...version }))
    expect(keyIds(await later.look())).toEqual(keyIds(seen))
    expect(new Set(keyIds(seen)).size).toBe(2)
  })

  it('waits for the one before it to be handed out, unless it is to be used no later', async () => {
    await initialised(configured())
    await rotate(HOUR_MS)
    expect(await codeOf(() => rotate(2 * HOUR_MS))).toBe('KMS_KEYRING_VERSION')
    expect((await storedVersions(folder.join('store'))).map(([version]) => version)).toEqual([1, 2])
    expect((await rotate(0)).version).toBe(3)
    const backend = used.use(runningBackend(configured()))
    const life = observeKey(null, await backend.look(), { nowMs: Date.now() + HOUR_MS / 2, policy: POLICY, ...TRIALS })
    expect(activeVersion(life)?.version).toBe(3)
  })

  it('changes nothing while no seal opens', async () => {
    await initialised(configured())
    const before = await readStored(folder.join('store'))
    await swtpm.kill()
    expect(await codeOf(() => rotate())).toBe('KMS_KEYRING_SEALED')
    expect((await readStored(folder.join('store'))).bytes).toEqual(before.bytes)
  })
})

describe('retiring a version', () => {
  it('takes its key away for good, also from a backend that runs', async () => {
    const backend = await opened()
    const old = await backend.encryptText(1, 'by version 1')
    await rotate(0)
    const { retired } = await retire()
    expect(retired).toEqual([1])
    expect(await storedVersions(folder.join('store'))).toEqual([
      [1, 'retired'],
      [2, 'active'],
    ])
    const seen = await lookUntil(backend, 'version 1 to go', ({ versions }) => versions[0]?.version === 2)
    expect(seen).toMatchObject({ oldestDecryptable: 2, oldestEncryptable: 2 })
    expect(await backend.decryptText(1, old)).toBe('KMS_VERSION_RETIRED')
  })

  it('takes all older ones as well, and leaves one record', async () => {
    await initialised(configured())
    for (let times = 0; times < 3; times += 1) await rotate(0)
    const { retired, keyring } = await retire({ version: 3 })
    expect(retired).toEqual([1, 2, 3])
    expect(keyring.records).toHaveLength(1)
    const backend = used.use(runningBackend(configured()))
    expect(versionsOf(await backend.look())).toEqual([4])
  })

  it.each([
    ['the newest', { version: 2 }],
    ['one that is not there', { version: 3 }],
    ['the only one that encrypts yet', { version: 1, nowMs: Date.now() }],
  ])('is refused for %s', async (_what, options) => {
    await initialised(configured())
    await rotate()
    expect(await codeOf(() => retire(options))).toBe('KMS_KEYRING_VERSION')
    expect(await storedVersions(folder.join('store'))).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
  })

  it('is refused for one that is retired already', async () => {
    await initialised(configured())
    await rotate(0)
    await retire()
    expect(await codeOf(() => retire())).toBe('KMS_KEYRING_VERSION')
  })

  it.each([
    ['is the one that its plugin encrypts by', 1],
    ['is newer than the one that its plugin encrypts by', 0],
  ])('is refused, whatever an operator says, on a node where the version %s', async (_what, version) => {
    const { keyring } = await initialised(configured())
    await rotate(0)
    const lineage = keyring.generations[0]?.id ?? new Uint8Array()
    const [error] = await Promise.allSettled([retire({ encryptingHere: { version, lineage } })])
    expect(error).toMatchObject({
      reason: { code: 'KMS_KEYRING_VERSION', message: expect.stringContaining('verify-key') as unknown },
    })
    expect(await storedVersions(folder.join('store'))).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
    expect(await copies()).toEqual([])
  })

  it('is refused on a node whose plugin encrypts by a version that the keyring does not have', async () => {
    await initialised(configured())
    const { id } = await rotate(0)
    const unknown = { version: 2, lineage: randomBytes(16) }
    expect(await codeOf(() => retire({ encryptingHere: unknown }))).toBe('KMS_KEYRING_VERSION')
    expect(await codeOf(() => retire({ encryptingHere: { version: 2, lineage: id } }))).toBe('none')
  })

  it('keeps a copy from before first, which opens, and writes over none', async () => {
    await initialised(configured())
    await rotate(0)
    const before = await readStored(folder.join('store'))
    const taken = folder.join('store', 'keyring.before-retire-1')
    await writeFile(taken, 'another one', { mode: 0o600 })
    const { keptAs } = await retire()
    expect(await readFile(taken, 'utf8')).toBe('another one')
    expect(keptAs).toBe(folder.join('store', 'keyring.before-retire-1.2'))
    expect(await readFile(keptAs)).toEqual(Buffer.from(before.bytes))
    expect((await stat(keptAs)).mode & 0o777).toBe(0o600)
    expect(await copies()).toEqual(['keyring.before-retire-1', 'keyring.before-retire-1.2'])
  })

  it('takes nothing away where no copy can be kept', async () => {
    await initialised(configured())
    await rotate(0)
    await symlink('/dev/null', folder.join('store', 'keyring.before-retire-1'))
    expect(await codeOf(() => retire())).toBe('STORE_WRITE_FAILED')
    expect(await storedVersions(folder.join('store'))).toEqual([
      [1, 'active'],
      [2, 'active'],
    ])
  })

  it('goes by what was verified, and only by that', async () => {
    const { keyring: first } = await initialised(configured())
    const { id, notBeforeMs } = await rotate(0)
    const nowMs = Date.now() + 2 * HOUR_MS
    const keyId = (version: number, lineage: Uint8Array | undefined) =>
      keyIdOf({ provider: 'keyring', clusterId: CLUSTER, version, lineage: lineage ?? new Uint8Array(16) })
    const [before, after] = [keyId(1, first.generations[0]?.id), keyId(2, id)]
    const verifiedAtMs = nowMs - VERIFICATION_LIFE_MS
    const good = {
      clusterId: CLUSTER,
      etcds: [{ clusterId: 'e', endpoints: ['https://10.0.0.5:2379'] }],
      verifiedAtMs,
      keyIds: [after],
    }
    const attempt = (change: Partial<typeof good>) =>
      codeOf(() => retire({ nowMs, proof: { kind: 'verification', verification: { ...good, ...change } } }))
    expect(await attempt({ keyIds: [after, before] })).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({ keyIds: [after, 'somebody-else'] })).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({ keyIds: [] })).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({ clusterId: 'other' })).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({ verifiedAtMs: nowMs + 1 })).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({ verifiedAtMs: nowMs - VERIFICATION_LIFE_MS - 1 })).toBe('KMS_KEYRING_NOT_VERIFIED')
    const activeAtMs = notBeforeMs + POLICY.activationDelayMs
    const early = { ...good, verifiedAtMs: activeAtMs - 1 }
    const soon = { nowMs: activeAtMs, proof: { kind: 'verification', verification: early } } as const
    expect(await codeOf(() => retire(soon))).toBe('KMS_KEYRING_NOT_VERIFIED')
    expect(await attempt({})).toBe('none')
  })
})

describe('a store that changes beneath a backend', () => {
  const path = () => folder.join('store', 'keyring')

  it('is told where it is damaged, and what is open goes on', async () => {
    const backend = await opened()
    const { bytes } = await readStored(folder.join('store'))
    await writeFile(path(), bytes.subarray(0, 100), { mode: 0o600 })
    const told = await lookUntilNotTaken(backend)
    expect(told.cause).toMatchObject({ code: 'STORE_KEYRING_INVALID' })
    expect(await backend.decryptText(1, await backend.encryptText(1, 'goes on'))).toBe('goes on')
    await writeFile(path(), bytes, { mode: 0o600 })
    await lookUntilTold(backend, 'store-taken', 1)
    // The same again is news again.
    await writeFile(path(), bytes.subarray(0, 100), { mode: 0o600 })
    await lookUntilTold(backend, 'store-not-taken', backend.told('store-not-taken').length + 1)
    await writeFile(path(), bytes, { mode: 0o600 })
    await lookUntilTold(backend, 'store-taken', 2)
    expect(await backend.lookCode()).toBe('none')
    expect(backend.told('store-taken')).toHaveLength(2)
  })

  it('is not taken over from another cluster, though its seal opens it', async () => {
    const backend = await opened()
    const wrapped = await backend.encryptText(1, 'ours')
    await initialised(configured('elsewhere'))
    await rename(folder.join('elsewhere', 'keyring'), path())
    const told = await lookUntilNotTaken(backend)
    expect(told.cause).toMatchObject({ code: 'KMS_KEYRING_FORKED' })
    expect(await backend.decryptText(1, wrapped)).toBe('ours')
    const asked = backend.told('opened').length
    for (let times = 0; times < 3; times += 1) await backend.look()
    expect(backend.told('opened')).toHaveLength(asked)
    expect(backend.told('store-not-taken')).toHaveLength(1)
  })

  it('is shown as it is where it has gone back, and what newer versions have encrypted still decrypts', async () => {
    const backend = await opened()
    const older = await readStored(folder.join('store'))
    await rotate(0)
    const seen = await lookUntil(backend, 'version 2', ({ versions }) => versions.length === 2)
    const life = observeKey(null, seen, { nowMs: Date.now() + HOUR_MS, policy: POLICY, ...TRIALS })
    const wrapped = await backend.encryptText(2, 'by version 2')
    await writeFile(path(), older.bytes, { mode: 0o600 })
    const back = await lookUntil(backend, 'version 2 to go', ({ versions }) => versions.length === 1)
    let after = life
    for (let looks = 0; looks < CONVINCING_DOUBTS; looks += 1) {
      after = observeKey(after, back, { nowMs: Date.now(), policy: POLICY, ...TRIALS })
    }
    expect(after.trouble).toEqual({ kind: 'went-back', newest: 1, known: 2 })
    expect(await backend.decryptText(2, wrapped)).toBe('by version 2')
  })

  it('is not taken over where two nodes have rotated at once', async () => {
    const backend = await opened()
    await cp(folder.join('store'), folder.join('twin'), { recursive: true })
    await rotate()
    await lookUntil(backend, 'version 2', ({ versions }) => versions.length === 2)
    await rotate(HOUR_MS, configured('twin'))
    await rename(folder.join('twin', 'keyring'), path())
    expect((await lookUntilNotTaken(backend)).cause).toMatchObject({ code: 'KMS_KEYRING_FORKED' })
  })
})

describe('a change of the keyring', () => {
  it('that would make it one for OpenBao is opened by no KMS plugin', async () => {
    await initialised(configured())
    const change = () =>
      withNode(configured(), node =>
        changeKeyring(
          node,
          unlocked => {
            const { generation, sealKey, keyring } = addGeneration({ ...unlocked, step: 'chained' })
            const sealKeys = unlocked.sealKeys.with(generation.id, sealKey)
            return { keyring: activateGeneration({ keyring, sealKeys, id: generation.id }), sealKeys }
          },
          signal,
        ),
      )
    await change()
    const backend = used.use(runningBackend(configured()))
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(await codeOf(change)).toBe('KEYRING_OTHER_USE')
  })

  it('gives way to one that somebody else has made meanwhile', async () => {
    await initialised(configured())
    const overtaken = withNode(configured(), node =>
      changeKeyring(
        node,
        async ({ keyring, sealKeys, ...surroundings }) => {
          await rotate()
          const keyId = makeKmsKeyId({ notBeforeMs: 0, randomBytes })
          const added = addGeneration({ ...surroundings, keyring, sealKeys, step: 'chained', keyId })
          return { keyring: added.keyring, sealKeys: sealKeys.with(added.generation.id, added.sealKey) }
        },
        signal,
      ),
    )
    expect(await codeOf(() => overtaken)).toBe('STORE_CHANGED')
    await using store = await openKeyringStore(folder.join('store'))
    const { keyring, bytes } = await readStored(folder.join('store'))
    expect(await store.readKeyring()).toEqual(encodeKeyring(keyring))
    expect(bytes).toEqual(encodeKeyring(keyring))
  })
})
