import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { addRecord, createKeyring, type Keyring, matchSealKey, type RecordMethod } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import {
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import { type ConfiguredSeal } from './configured-seal.ts'
import { configuredSeals, openThrough } from './node-seals.ts'
import { tendSeals } from './tend.ts'
import { NO_PROGRAMS, opening } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }
const START_TIMEOUT_MS = 60_000

let folder: TemporaryFolder
let other: OpenBaoNode
let token: string
let sealKey: Secret
let used: ConfiguredSeal[]

async function ask(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<void> {
  const { status } = await other.request({ method, path, token, ...(body === undefined ? {} : { body }) })
  if (status >= 300) throw new Error(`${method} ${path}: ${status}`)
}

/** OpenBao moves in the background. */
async function moveMount(from: string, to: string): Promise<void> {
  await ask('POST', 'sys/remount', { from, to })
  await waitUntil(async () => (await other.request({ method: 'GET', path: `${to}/keys/two`, token })).status === 200, {
    what: `the mount to be at ${to}`,
    timeoutMs: START_TIMEOUT_MS,
  })
}

beforeAll(async () => {
  folder = await temporaryFolder()
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
  token = (init.body as { readonly root_token: string }).root_token
  await other.waitFor('active')
  await ask('POST', 'sys/mounts/transit', { type: 'transit' })
  for (const name of ['one', 'two']) await ask('POST', `transit/keys/${name}`, { type: 'aes256-gcm96' })
  await writeFile(folder.join('token'), token, { mode: 0o600 })
}, START_TIMEOUT_MS)

afterAll(async () => {
  await other.stop()
  await folder.remove()
})

beforeEach(() => {
  sealKey = new Secret(Uint8Array.from(randomBytes(32)))
  used = []
})

afterEach(async () => {
  for (const seal of used) await seal[Symbol.asyncDispose]()
})

function sealWith(keyName: string, fields: Readonly<Record<string, unknown>> = {}): ConfiguredSeal {
  const seal = {
    ...{ name: 'backup', type: 'transit', priority: 1, address: other.apiAddress, keyName, deadlineMs: 5_000 },
    ...{ auth: { method: 'token', tokenFile: folder.join('token') }, ...fields },
  }
  const [made] = configuredSeals(parseNodeConfig(JSON.stringify({ seals: [seal] }), 'test'), NO_PROGRAMS)
  if (made === undefined) throw new Error('no seal')
  used.push(made)
  return made
}

async function enrolled(seal: ConfiguredSeal, keyring?: Keyring): Promise<Keyring> {
  return await seal.withLocalMember({ knownIn: undefined, signal }, async member => {
    const record = { sealName: seal.name, member, method: member.method, label: 'node', ...surroundings }
    if (keyring === undefined) return await createKeyring({ ...record, sealKey })
    return await addRecord({ ...record, keyring, sealKeys: matchSealKey({ keyring, sealKey }) })
  })
}

/** The keyring with somebody else's member in the seal, whose record is no container of its kind; listed first. */
async function withDamaged(keyring: Keyring, { type: sealType, name: sealName }: ConfiguredSeal, method: RecordMethod) {
  const member = { sealType, memberId: new Uint8Array(16), sealKek: () => Promise.resolve(randomBytes(300)) } as const
  const sealKeys = matchSealKey({ keyring, sealKey })
  return await addRecord({ ...surroundings, keyring, sealKeys, sealName, member, method, label: 'other' })
}

describe('a transit seal', () => {
  it('opens what it was given, and proves whose it is', async () => {
    const seal = sealWith('one')
    const keyring = await enrolled(seal)
    using opened = await openThrough(seal, keyring, signal)
    expect(opened.isOriginProven).toBe(true)
    // Another node with the same key is the same member.
    expect((await enrolled(sealWith('one'), keyring)).members).toHaveLength(1)
  })

  it('opens although the mount was moved, and finds its own record among those of several keys', async () => {
    const keyring = await enrolled(sealWith('two'), await enrolled(sealWith('one')))
    expect(keyring.members).toHaveLength(2)
    expect(await opening(sealWith('one'), keyring)).toBe('opens')
    expect(await opening(sealWith('two'), keyring)).toBe('opens')
    await moveMount('transit', 'moved')
    try {
      const moved = sealWith('two', { mountPath: 'moved' })
      expect(await opening(moved, keyring)).toBe('opens')
      const sealKeys = matchSealKey({ keyring, sealKey })
      expect(await tendSeals({ ...surroundings, keyring, sealKeys, seals: [moved], label: 'node' })).toMatchObject({
        keyring,
        renewed: [],
      })
    } finally {
      await moveMount('moved', 'transit')
    }
  })

  it('refuses a key that is none of those with records, at opening and at tending', async () => {
    const keyring = await enrolled(sealWith('one'))
    const stranger = sealWith('two')
    expect(await opening(stranger, keyring)).toBe('TRANSIT_CIPHERTEXT_REFUSED')
    const sealKeys = matchSealKey({ keyring, sealKey })
    const tended = await tendSeals({ ...surroundings, keyring, sealKeys, seals: [stranger], label: 'node' })
    expect(tended.failures.get('backup')).toMatchObject({ code: 'TRANSIT_CIPHERTEXT_REFUSED' })
  })

  it("opens by its own record whatever another member's was damaged to", async () => {
    const seal = sealWith('one')
    const keyring = await enrolled(seal)
    const joined = await withDamaged(keyring, seal, 'transit')
    expect(await opening(seal, joined)).toBe('opens')
    const records = joined.records.filter(({ memberId }) => memberId.every(byte => byte === 0))
    expect(await opening(seal, { ...joined, records })).toBe('TRANSIT_BLOB_MALFORMED')
  })

  it('says what is wrong: a server that is down, a token that is missing, a seal without a record', async () => {
    const keyring = await enrolled(sealWith('one'))
    const nowhere = `http://127.0.0.1:${await freePort()}`
    expect(await opening(sealWith('one', { address: nowhere }), keyring)).toBe('TRANSIT_UNREACHABLE')
    const auth = { method: 'token', tokenFile: folder.join('nothing') }
    expect(await opening(sealWith('one', { auth }), keyring)).toBe('TRANSIT_CREDENTIAL_UNREADABLE')
    expect(await opening(sealWith('one', { name: 'second' }), keyring)).toBe('KEYRING_NO_RECORD')
  })
})
