import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createKeyring, encodeKeyring } from '@sealwright/keyring'
import { KmsError } from '@sealwright/kms-v2'
import { agentLock, openKeyringStore } from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import {
  proxySocket,
  startSwtpm,
  type Swtpm,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { readTpmStatus } from '@sealwright/tpm'
import { readStored } from './keyring-store.ts'
import {
  ASSOCIATED_DATA,
  backendConfig,
  codeOf,
  initialised,
  runningBackend,
  type Running,
  type SealFields,
  signal,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

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

const configured = (fields: SealFields = {}, backend: SealFields = {}) =>
  backendConfig(folder.join('store'), [tpmFields(swtpm.socketPath, fields)], backend)

/** A backend that nobody has looked at yet. */
function started(config = configured()): Running {
  return used.use(runningBackend(config))
}

async function lockoutCounter(): Promise<number> {
  const access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes } as const
  return (await readTpmStatus(access)).lockoutCounter
}

/** The TPM behind something that notes what is asked, and can hold it back. */
async function watchedTpm() {
  let gate = Promise.withResolvers<undefined>()
  gate.resolve(undefined)
  const proxy = await proxySocket({
    ...{ listenPath: folder.join('proxy.sock'), targetPath: swtpm.socketPath },
    onClientData: async bytes => {
      await gate.promise
      return bytes
    },
  })
  used.use(proxy)
  return {
    config: configured({ tpm: { socket: folder.join('proxy.sock') } }),
    asked: () => proxy.recorded.length,
    hold: () => {
      gate = Promise.withResolvers()
    },
    release: () => {
      gate.resolve(undefined)
    },
  }
}

describe('a backend over a keyring', () => {
  it('is opened by a TPM, and says what its only version is', async () => {
    const { keyring } = await initialised(configured())
    const backend = started()
    const observation = await backend.look()
    const [first] = keyring.generations
    expect(backend.provider).toBe('keyring')
    expect(observation).toMatchObject({ oldestDecryptable: 1, oldestEncryptable: 1 })
    expect(observation.versions).toHaveLength(1)
    expect(observation.versions[0]).toMatchObject({ version: 1, lineage: first?.id })
    expect(Math.abs(Date.now() - (observation.versions[0]?.createdAtMs ?? 0))).toBeLessThan(60_000)
    expect(backend.told('opened')).toMatchObject([{ sealName: 'tpm', versions: [1], revision: keyring.revision }])
  })

  it('encrypts and decrypts without a device: the TPM is gone', async () => {
    await initialised(configured())
    const backend = started()
    await backend.look()
    await swtpm.kill()
    const wrapped = await backend.encryptText(1, 'seed')
    expect(await backend.decryptText(1, wrapped)).toBe('seed')
    expect(await backend.lookCode()).toBe('none')
    expect(wrapped.byteLength).toBeLessThan(900)
  })

  it('refuses whatever is not authentic in one way, with words that name no device', async () => {
    await initialised(configured())
    const backend = started()
    await backend.look()
    const wrapped = await backend.encryptText(1, 'seed')
    const flipped = Array.from({ length: wrapped.byteLength * 8 }, (_, bit) => {
      const bytes = Uint8Array.from(wrapped)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return bytes
    })
    const cut = Array.from({ length: wrapped.byteLength }, (_, length) => wrapped.subarray(0, length))
    for (const bytes of [...flipped, ...cut, Uint8Array.from([...wrapped, 0]), randomBytes(900)]) {
      expect(await backend.decryptText(1, bytes)).toBe('KMS_CIPHERTEXT_REFUSED')
    }
    expect(await backend.decryptText(1, wrapped, Uint8Array.of(1))).toBe('KMS_CIPHERTEXT_REFUSED')
    expect(await backend.decryptText(2, wrapped)).toBe('KMS_KEY_GONE')
  })

  it('decrypts nothing of another keyring', async () => {
    await initialised(configured())
    const backend = started()
    await backend.look()
    const wrapped = await backend.encryptText(1, 'seed')
    const elsewhere = backendConfig(folder.join('elsewhere'), [tpmFields(swtpm.socketPath)])
    await initialised(elsewhere)
    const other = started(elsewhere)
    await other.look()
    expect(await other.decryptText(1, wrapped)).toBe('KMS_CIPHERTEXT_REFUSED')
  })

  it('keeps the store for itself, as an agent does, until it ends', async () => {
    await initialised(configured())
    await using lock = agentLock(folder.join('store'))
    await lock.ensure(signal)
    const backend = started()
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    await lock[Symbol.asyncDispose]()
    expect(await backend.lookCode()).toBe('none')
    const late = agentLock(folder.join('store'))
    expect(await codeOf(() => late.ensure(signal))).toBe('STORE_IN_USE')
    await backend[Symbol.asyncDispose]()
    expect(await late.ensure(signal)).toBe(true)
    await late[Symbol.asyncDispose]()
  })
})

describe('a backend that only looks', () => {
  it('works beside the plugin that has the store, and gives no seal a record', async () => {
    await initialised(configured())
    const plugin = started()
    await plugin.look()
    const wrapped = await plugin.encryptText(1, 'seed')
    const { bytes } = await readStored(folder.join('store'))

    const seals = [tpmFields(swtpm.socketPath), tpmFields(swtpm.socketPath, { name: 'second', priority: 2 })]
    const looking = used.use(runningBackend(backendConfig(folder.join('store'), seals), { looksOnly: true }))
    for (let times = 0; times < 3; times += 1) expect(await looking.lookCode()).toBe('none')
    expect(await looking.decryptText(1, wrapped)).toBe('seed')
    await looking[Symbol.asyncDispose]()
    expect((await readStored(folder.join('store'))).bytes).toEqual(bytes)
    expect(looking.events.map(({ kind }) => kind)).toEqual(['opened'])
    expect(await plugin.decryptText(1, wrapped)).toBe('seed')
  })
})

describe('a backend that is not open', () => {
  it('says that there is no keyring on this node, and finds one that comes later', async () => {
    const backend = started()
    await expect(backend.look()).rejects.toMatchObject({
      code: 'KMS_BACKEND_REFUSED',
      message: expect.stringContaining('sealctl kms keyring recover or import') as unknown,
      cause: expect.objectContaining({ code: 'KMS_KEYRING_MISSING' }) as unknown,
    })
    await initialised(configured())
    expect(await backend.lookCode()).toBe('none')
  })

  it('is unavailable while its TPM is, and opens once it is back', async () => {
    await initialised(configured())
    await swtpm.kill()
    const backend = started()
    for (let times = 0; times < 3; times += 1) expect(await backend.lookCode()).toBe('KMS_BACKEND_UNAVAILABLE')
    expect(backend.told('seal-failed')).toMatchObject([
      { sealName: 'tpm', failure: { code: 'TPM_UNREACHABLE' } },
      { sealName: 'tpm' },
      { sealName: 'tpm' },
    ])
    await swtpm.start()
    expect(await backend.lookCode()).toBe('none')
  })

  it('is refused by a TPM that was replaced, and names neither place nor TPM to kube-apiserver', async () => {
    await initialised(configured())
    await swtpm.replace()
    const failure = await started()
      .look()
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(KmsError)
    const { code, message, cause } = failure as KmsError
    expect(code).toBe('KMS_BACKEND_REFUSED')
    expect(message).not.toContain(folder.path)
    expect(cause).toMatchObject({ code: 'KMS_KEYRING_SEALED', message: expect.stringMatching(/tpm: TPM_/) as unknown })
  })

  it('fails calls at once without asking a device, and lets them wait while it opens', async () => {
    await initialised(configured())
    const tpm = await watchedTpm()
    const backend = started(tpm.config)
    await expect(backend.encryptText(1, 'early')).rejects.toMatchObject({ code: 'KMS_BACKEND_UNAVAILABLE' })
    expect(tpm.asked()).toBe(0)
    const looking = backend.look()
    const wrapped = await backend.encryptText(1, 'while opening')
    await looking
    expect(await backend.decryptText(1, wrapped)).toBe('while opening')
  })

  it.each([
    ['KMS_DEADLINE_EXCEEDED', () => AbortSignal.timeout(50)],
    ['KMS_CANCELLED', () => AbortSignal.abort()],
  ])('ends a call that waits for it with %s, and opens nevertheless', async (code, limit) => {
    await initialised(configured())
    const tpm = await watchedTpm()
    tpm.hold()
    const backend = started(tpm.config)
    const looking = backend.look()
    using plaintext = new Secret(Uint8Array.of(1))
    const call = { signal: limit() }
    const associatedData = ASSOCIATED_DATA
    await expect(backend.encrypt({ version: 1, plaintext, associatedData }, call)).rejects.toMatchObject({ code })
    tpm.release()
    await looking
    expect(await backend.lookCode()).toBe('none')
  })

  it('takes no keyring that opens OpenBao, and asks no TPM for it', async () => {
    await using store = await openKeyringStore(folder.join('store'), { create: true })
    using sealKey = new Secret(randomBytes(32))
    const keyring = await withNode(configured(), ({ seals: [seal] }) => {
      if (seal === undefined) throw new Error('no seal')
      return seal.withLocalMember({ knownIn: undefined, signal }, member =>
        createKeyring({
          ...{ sealName: 'tpm', member, method: member.method, label: 'node', sealKey, now: Date.now, randomBytes },
          signal,
        }),
      )
    })
    const prove = () => Promise.resolve()
    await store.writeKeyring({ bytes: encodeKeyring(keyring), expectedCurrent: undefined, prove, signal })
    const tpm = await watchedTpm()
    const failure = await started(tpm.config)
      .look()
      .catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'KMS_BACKEND_REFUSED' })
    expect(tpm.asked()).toBe(0)
  })

  it('takes no keyring of another id than the configuration says', async () => {
    await initialised(configured())
    const backend = started(configured({}, { clusterId: '00'.repeat(16) }))
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(backend.told('seal-failed')).toMatchObject([{ failure: { code: 'KEYRING_OTHER_CLUSTER' } }])
  })

  it('is stopped while it opens', async () => {
    await initialised(configured())
    const tpm = await watchedTpm()
    tpm.hold()
    const backend = runningBackend(tpm.config)
    const looking = backend.lookCode()
    await waitUntil(() => tpm.asked() > 0, { what: 'the TPM to be asked', timeoutMs: 10_000 })
    await backend[Symbol.asyncDispose]()
    expect(await looking).toBe('KMS_STOPPING')
  })
})

describe('a PIN that is wrong', () => {
  const pinFile = () => folder.join('pin')
  const withPin = () => configured({ pinFile: pinFile() })

  beforeEach(async () => {
    await writeFile(pinFile(), '1234', { mode: 0o600 })
    await initialised(withPin())
    await writeFile(pinFile(), '4321', { mode: 0o600 })
  })

  it('reaches the TPM once however often somebody looks or examines', async () => {
    const backend = started(withPin())
    for (let times = 0; times < 4; times += 1) expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(await backend.examine(signal)).toMatchObject([
      { name: 'tpm', verdict: { kind: 'not-tried', failure: { code: 'TPM_PIN_WRONG' } } },
    ])
    expect(await lockoutCounter()).toBe(1)
  })

  it('is tried again once its file has changed, and opens', async () => {
    const backend = started(withPin())
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    await writeFile(pinFile(), '1234', { mode: 0o600 })
    expect(await backend.lookCode()).toBe('none')
    expect(await lockoutCounter()).toBe(1)
  })

  it('is tried again after a reload, and only then', async () => {
    const backend = started(withPin())
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    backend.reload()
    for (let times = 0; times < 3; times += 1) expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(await lockoutCounter()).toBe(2)
  })
})

describe('an examination', () => {
  it('opens what is stored by each seal, for real, also while the backend serves', async () => {
    await initialised(configured())
    const backend = started()
    await backend.look()
    expect(await backend.examine(signal)).toMatchObject([
      { name: 'tpm', type: 'tpm', priority: 1, verdict: { kind: 'opens' } },
    ])
    await swtpm.kill()
    expect(await backend.examine(signal)).toMatchObject([
      { name: 'tpm', verdict: { kind: 'fails', failure: { code: 'TPM_UNREACHABLE', kind: 'transient' } } },
    ])
    expect(await backend.decryptText(1, await backend.encryptText(1, 'goes on'))).toBe('goes on')
  })
})
