import { randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { generateAesKey, generateRsaKeyPair, pkcs11Module } from '@sealwright/pkcs11'
import { Secret } from '@sealwright/secret'
import {
  createSoftHsm,
  type SoftHsm,
  type SoftHsmToken,
  startSwtpm,
  type Swtpm,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { keyringOpener } from './keyring-opener.ts'
import { retireVersions } from './keyring-retire.ts'
import { rotateKeyring } from './keyring-rotate.ts'
import { readStored } from './keyring-store.ts'
import { tendKeyring } from './keyring-tender.ts'
import {
  backendConfig,
  CLUSTER,
  hsmFields,
  initialised,
  PROGRAMS,
  runningBackend,
  type Running,
  type SealFields,
  signal,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

const HSM_TIMEOUT_MS = 20_000
const WAIT = { timeoutMs: 20_000 }

let folder: TemporaryFolder
let swtpm: Swtpm
let hsm: SoftHsm
let token: SoftHsmToken
let used: AsyncDisposableStack

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  hsm = await createSoftHsm({ directory: folder.join('hsm') })
  token = await hsm.addToken('sealwright')
  used = new AsyncDisposableStack()
  const spawn = { ...PROGRAMS.pkcs11Program, environment: hsm.environment }
  await using module = pkcs11Module({ modulePath: hsm.modulePath, spawn })
  using pin = new Secret(new TextEncoder().encode(token.pin))
  const access = { module, token: { label: token.label }, pin, timeoutMs: HSM_TIMEOUT_MS }
  await generateAesKey(access, { label: 'kek', randomBytes }, { signal })
  await generateRsaKeyPair(access, { label: 'pair', modulusBits: 2048, randomBytes }, { signal })
})

afterEach(async () => {
  await used.disposeAsync()
  await swtpm.stop()
  await folder.remove()
})

const tpm = (fields: SealFields = {}) => tpmFields(swtpm.socketPath, fields)
const token1 = (fields: SealFields = {}) => hsmFields(hsm, token, fields)
const configured = (seals: readonly SealFields[], backend: SealFields = {}) =>
  backendConfig(folder.join('store'), seals, backend)
const both = () => configured([tpm(), token1()])

const pulled = () => rename(hsm.tokenDirectory, `${hsm.tokenDirectory}.pulled`)
const pluggedIn = () => rename(`${hsm.tokenDirectory}.pulled`, hsm.tokenDirectory)

function started(config = both()): Running {
  return used.use(runningBackend(config))
}

async function worksBy(backend: Running, version: number): Promise<boolean> {
  return (await backend.decryptText(version, await backend.encryptText(version, 'seed'))) === 'seed'
}

/** Of which versions the members of each seal have records, by the name of the seal. */
async function recordsBySeal(): Promise<Readonly<Record<string, readonly number[]>>> {
  const { keyring } = await readStored(folder.join('store'))
  return Object.fromEntries(
    keyring.seals.map(({ name, sealId }) => [
      name,
      keyring.records
        .filter(record => Buffer.compare(record.sealId, sealId) === 0)
        .map(
          ({ generationId }) =>
            keyring.generations.find(({ id }) => Buffer.compare(id, generationId) === 0)?.number ?? 0,
        ),
    ]),
  )
}

describe('a backend whose only seal is an HSM', () => {
  it.each([
    ['AES on the token', {}],
    ['RSA on the token', { key: { label: 'pair' }, mechanism: 'rsa-oaep', oaepHash: 'sha1' }],
  ] satisfies [string, SealFields][])('is opened by %s, and goes on when the HSM is pulled', async (_what, fields) => {
    const { keyring } = await initialised(configured([token1(fields)]))
    const clusterId = Buffer.from(keyring.clusterId).toString('hex')
    const backend = started(configured([token1(fields)], { clusterId }))
    await backend.look()
    await pulled()
    expect(await worksBy(backend, 1)).toBe(true)
    expect(await backend.lookCode()).toBe('none')
    expect(await backend.examine(signal)).toMatchObject([{ name: 'hsm', verdict: { kind: 'fails' } }])
    expect(await worksBy(backend, 1)).toBe(true)
  })

  it('opened by RSA is refused without its id in the configuration: anybody could have made it', async () => {
    const fields = { key: { label: 'pair' }, mechanism: 'rsa-oaep', oaepHash: 'sha1' }
    await initialised(configured([token1(fields)]))
    const backend = started(configured([token1(fields)]))
    expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(backend.told('seal-failed')).toMatchObject([{ failure: { code: 'KEYRING_ORIGIN_UNPROVEN' } }])
  })

  it('is not open while the HSM is out at its start, and opens once it is in', async () => {
    await initialised(configured([token1()]))
    await pulled()
    const backend = started(configured([token1()]))
    expect(await backend.lookCode()).toMatch(/^KMS_BACKEND_/)
    await pluggedIn()
    await waitUntil(async () => (await backend.lookCode()) === 'none', { ...WAIT, what: 'the HSM to open it' })
    expect(await worksBy(backend, 1)).toBe(true)
  })

  it('tries a wrong PIN once, until its file has changed', async () => {
    await initialised(configured([token1()]))
    const pinFile = folder.join('pin')
    await writeFile(pinFile, '00000000', { mode: 0o600 })
    const backend = started(configured([token1({ pinFile })]))
    for (let times = 0; times < 4; times += 1) expect(await backend.lookCode()).toBe('KMS_BACKEND_REFUSED')
    expect(backend.told('seal-failed')).toMatchObject([{ failure: { code: 'PKCS11_PIN_WRONG', kind: 'operator' } }])
    await writeFile(pinFile, token.pin, { mode: 0o600 })
    expect(await backend.lookCode()).toBe('none')
  })
})

describe('a backend with several seals', () => {
  it('is opened by the best one, and by the next where that is gone', async () => {
    await initialised(both())
    const first = started()
    await first.look()
    expect(first.told('opened')).toMatchObject([{ sealName: 'tpm' }])
    const wrapped = await first.encryptText(1, 'seed')
    await first[Symbol.asyncDispose]()
    await swtpm.kill()
    const second = started()
    await second.look()
    expect(second.told('seal-failed')).toMatchObject([{ sealName: 'tpm', failure: { code: 'TPM_UNREACHABLE' } }])
    expect(second.told('opened')).toMatchObject([{ sealName: 'hsm' }])
    expect(await second.decryptText(1, wrapped)).toBe('seed')
  })

  it('gives a seal that was added to its configuration a record by itself, which then opens alone', async () => {
    await initialised(configured([tpm()]))
    const backend = started()
    await waitUntil(
      async () => {
        await backend.look()
        return backend.told('tended').length > 0
      },
      { ...WAIT, what: 'the HSM to get its record' },
    )
    expect(backend.told('tended')).toEqual([{ kind: 'tended', sealNames: ['hsm'] }])
    const wrapped = await backend.encryptText(1, 'seed')
    await backend[Symbol.asyncDispose]()
    await swtpm.replace()
    const later = started()
    await later.look()
    expect(await later.decryptText(1, wrapped)).toBe('seed')
  })

  it('goes on looking after a seal that waits for an operator, until its PIN file is mended', async () => {
    const pinFile = folder.join('pin')
    await writeFile(pinFile, '00000000', { mode: 0o600 })
    await initialised(configured([tpm()]))
    await using opener = keyringOpener(configured([tpm(), token1({ pinFile })]), PROGRAMS, () => undefined)
    const [storePath, stored] = [folder.join('store'), await readStored(folder.join('store'))]
    const { open } = await opener.open(stored.keyring, signal)
    const tend = () =>
      tendKeyring({ storePath, stored, open }, { opener, onEvent: () => undefined }, signal).then(({ kind }) => kind)
    expect([await tend(), await tend()]).toEqual(['try-again', 'try-again'])
    await writeFile(pinFile, token.pin, { mode: 0o600 })
    expect(await tend()).toBe('tended')
    expect(await recordsBySeal()).toEqual({ tpm: [1], hsm: [1] })
  })

  it('catches a seal up that was down when a version was made and the older one retired; then that one opens alone', async () => {
    await initialised(both())
    await pulled()
    await withNode(both(), async node => {
      const { failures } = await rotateKeyring(node, { handOutMs: 0, knownHere: [] }, signal)
      expect([...failures.keys()]).toEqual(['hsm'])
      const retired = await retireVersions(
        node,
        {
          ...{ version: 1, proof: { kind: 'word-of-operator' }, kubernetesClusterId: CLUSTER },
          ...{ activationDelayMs: 0, encryptingHere: undefined, nowMs: Date.now() + 1_000 },
        },
        signal,
      )
      expect([...retired.failures.keys()]).toEqual(['hsm'])
    })
    expect(await recordsBySeal()).toEqual({ tpm: [2], hsm: [1] })

    await pluggedIn()
    const backend = started()
    await waitUntil(
      async () => {
        await backend.look()
        return backend.told('tended').length > 0
      },
      { ...WAIT, what: 'the HSM to be caught up' },
    )
    expect(await recordsBySeal()).toEqual({ tpm: [2], hsm: [2] })
    const wrapped = await backend.encryptText(2, 'seed')
    await backend[Symbol.asyncDispose]()

    await swtpm.replace()
    const later = started()
    await later.look()
    expect(later.told('opened')).toMatchObject([{ sealName: 'hsm' }])
    expect(await later.decryptText(2, wrapped)).toBe('seed')
  })

  it('says which seal it could not catch up, and serves meanwhile', async () => {
    await initialised(configured([tpm()]))
    await pulled()
    const backend = started()
    await waitUntil(
      async () => {
        await backend.look()
        return backend.told('not-tended')[0]
      },
      { ...WAIT, what: 'the failure to be told' },
    )
    expect([...(backend.told('not-tended')[0]?.failures.keys() ?? [])]).toEqual(['hsm'])
    expect(await worksBy(backend, 1)).toBe(true)
  })

  it('lets a replaced TPM in by no means by itself', async () => {
    await initialised(both())
    await swtpm.replace()
    const backend = started()
    await backend.look()
    expect(backend.told('opened')).toMatchObject([{ sealName: 'hsm' }])
    const { bytes } = await readStored(folder.join('store'))
    for (let times = 0; times < 3; times += 1) await backend.look()
    await backend[Symbol.asyncDispose]()
    expect((await readStored(folder.join('store'))).bytes).toEqual(bytes)
  })

  it('examines each of them', async () => {
    await initialised(both())
    const backend = started()
    await backend.look()
    await swtpm.kill()
    expect(await backend.examine(signal)).toMatchObject([
      { name: 'tpm', verdict: { kind: 'fails', failure: { code: 'TPM_UNREACHABLE' } } },
      { name: 'hsm', verdict: { kind: 'opens' } },
    ])
  })
})
