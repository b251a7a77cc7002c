import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import {
  freePort,
  type OpenBaoNode,
  startOpenBao,
  startSwtpm,
  type Swtpm,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import {
  backendConfig,
  initialised,
  runningBackend,
  type Running,
  type SealFields,
  tpmFields,
} from './testing/keyring-rig.ts'

const START_TIMEOUT_MS = 60_000

let folder: TemporaryFolder
let other: OpenBaoNode
let swtpm: Swtpm
let used: AsyncDisposableStack

beforeAll(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const keyFile = folder.join('static.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  other = await startOpenBao({
    ...{ directory: folder.join('other'), nodeId: 'other', apiPort: await freePort(), clusterPort: await freePort() },
    seal: { kind: 'static', keyFile },
  })
  const init = await other.request({
    ...{ method: 'PUT', path: 'sys/init', timeoutMs: START_TIMEOUT_MS },
    body: { recovery_shares: 1, recovery_threshold: 1 },
  })
  const { root_token: token } = init.body as { readonly root_token: string }
  await other.waitFor('active')
  await other.request({ method: 'POST', path: 'sys/mounts/transit', token, body: { type: 'transit' } })
  await other.request({ method: 'POST', path: 'transit/keys/kms', token, body: { type: 'aes256-gcm96' } })
  await writeFile(folder.join('token'), token, { mode: 0o600 })
}, START_TIMEOUT_MS)

afterAll(async () => {
  await other.stop()
  await swtpm.stop()
  await folder.remove()
})

beforeEach(() => {
  used = new AsyncDisposableStack()
})

afterEach(async () => {
  await used.disposeAsync()
})

const backup = (fields: SealFields = {}) => ({
  ...{ name: 'backup', type: 'transit', priority: 2, address: other.apiAddress, keyName: 'kms', deadlineMs: 5_000 },
  ...{ auth: { method: 'token', tokenFile: folder.join('token') }, ...fields },
})

function started(store: string, seals: readonly SealFields[]): Running {
  return used.use(runningBackend(backendConfig(folder.join(store), seals)))
}

describe('a keyring that another OpenBao opens', () => {
  it('is opened once, and goes on while that is down', async () => {
    const seals = [backup()]
    await initialised(backendConfig(folder.join('alone'), seals))
    const backend = started('alone', seals)
    await backend.look()
    await other.stop()
    try {
      expect(await backend.decryptText(1, await backend.encryptText(1, 'seed'))).toBe('seed')
      expect(await backend.lookCode()).toBe('none')
    } finally {
      await other.start()
      await other.waitFor('active')
    }
  })

  it('opens after the TPM beside it was lost, and is unavailable while both are', async () => {
    const seals = [tpmFields(swtpm.socketPath), backup()]
    await initialised(backendConfig(folder.join('both'), seals))
    const first = started('both', seals)
    await first.look()
    const wrapped = await first.encryptText(1, 'seed')
    await first[Symbol.asyncDispose]()
    await swtpm.replace()
    const second = started('both', [tpmFields(swtpm.socketPath), backup({ address: 'http://127.0.0.1:1' })])
    expect(await second.lookCode()).toBe('KMS_BACKEND_UNAVAILABLE')
    await second[Symbol.asyncDispose]()
    const third = started('both', seals)
    await third.look()
    expect(third.told('opened')).toMatchObject([{ sealName: 'backup' }])
    expect(await third.decryptText(1, wrapped)).toBe('seed')
  })
})
