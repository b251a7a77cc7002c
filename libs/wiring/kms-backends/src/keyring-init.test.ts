import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { type SealKeys, unwrapSealKeys } from '@sealwright/keyring'
import { agentLock, openKeyringStore } from '@sealwright/node-seals'
import { beginCeremony, next, parseShare, readShareSet, shamirSealMember } from '@sealwright/shamir'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type InitInput, initKeyring } from './keyring-init.ts'
import { rotateKeyring } from './keyring-rotate.ts'
import { findStored, readStored } from './keyring-store.ts'
import {
  backendConfig,
  codeOf,
  initialised,
  runningBackend,
  type SealFields,
  signal,
  tpmFields,
  withNode,
} from './testing/keyring-rig.ts'

const PEOPLE = { sealName: 'people', label: 'board', count: 3, threshold: 2 }
const SHARED = { name: 'people', type: 'shamir', priority: 100 }

let folder: TemporaryFolder
let swtpm: Swtpm

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

const tpm = (fields: SealFields = {}) => tpmFields(swtpm.socketPath, fields)
const configured = (...seals: readonly SealFields[]) => backendConfig(folder.join('store'), seals)

function init(config: ReturnType<typeof configured>, change: Partial<InitInput> = {}) {
  const handOut = (): Promise<void> => Promise.resolve()
  return withNode(config, node =>
    initKeyring({ ...node, shares: [], handOut, acceptSingleWayIn: false, ...change }, signal),
  )
}

const stored = () => findStored(folder.join('store'))

/** The seal keys of what is stored, by shares alone. */
async function openedByShares(texts: readonly string[]): Promise<SealKeys> {
  const { keyring } = await readStored(folder.join('store'))
  const member = keyring.members.find(({ label }) => label === PEOPLE.label)
  if (member === undefined) throw new Error('no set')
  const nonce = 'nonce'
  let ceremony = beginCeremony({ set: readShareSet({ clusterId: keyring.clusterId, member }), nonce })
  for (const text of texts) {
    ceremony = next(ceremony, { kind: 'share', nonce, share: parseShare(new TextEncoder().encode(text)) })
  }
  if (ceremony.kind !== 'complete') throw new Error(ceremony.kind)
  using privateKey = ceremony.privateKey
  const opener = shamirSealMember({ privateKey })
  return await unwrapSealKeys({ keyring, sealId: member.sealId, member: opener, signal })
}

describe('a first keyring', () => {
  it('is refused with one device as the only way in, unless somebody says so', async () => {
    expect(await codeOf(() => init(configured(tpm())))).toBe('KMS_KEYRING_SINGLE_WAY_IN')
    const twice = configured(tpm(), tpm({ name: 'again', priority: 2 }))
    expect(await codeOf(() => init(twice))).toBe('KMS_KEYRING_SINGLE_WAY_IN')
    expect(await stored()).toBeUndefined()
    await init(configured(tpm()), { acceptSingleWayIn: true })
    expect((await stored())?.keyring.records).toHaveLength(1)
  })

  it('is opened by shares as well, also after a rotation, and two of three are enough', async () => {
    const { texts, keyring } = await initialised(configured(tpm(), SHARED), [PEOPLE])
    expect(texts).toHaveLength(3)
    using first = await openedByShares(texts.slice(0, 2))
    expect(first.has(keyring.generations[0]?.id ?? randomBytes(16))).toBe(true)
    const { id } = await withNode(configured(tpm(), SHARED), node =>
      rotateKeyring(node, { handOutMs: 0, knownHere: [] }, signal),
    )
    using second = await openedByShares(texts.slice(1))
    expect(second.has(id)).toBe(true)
    const later = await readStored(folder.join('store'))
    expect(later.keyring.records.filter(({ method }) => method === 'shamir-hybrid')).toHaveLength(2)
  })

  it('counts shares as a second way in', async () => {
    await init(configured(tpm(), SHARED), { shares: [PEOPLE] })
    expect((await stored())?.keyring.seals.map(({ sealType }) => sealType).sort()).toEqual(['shamir', 'tpm'])
  })

  it('is not written unless the shares were given away', async () => {
    const lost = new Error('the printer is out of paper')
    const handOut = (): Promise<void> => Promise.reject(lost)
    await expect(init(configured(tpm(), SHARED), { shares: [PEOPLE], handOut })).rejects.toBe(lost)
    expect(await stored()).toBeUndefined()
    await init(configured(tpm(), SHARED), { shares: [PEOPLE] })
    expect(await stored()).toBeDefined()
  })

  it('takes the place of no other, and gives no shares away before it knows', async () => {
    await init(configured(tpm()), { acceptSingleWayIn: true })
    const before = await stored()
    let handedOut = 0
    const handOut = (): Promise<void> => {
      handedOut += 1
      return Promise.resolve()
    }
    expect(await codeOf(() => init(configured(tpm(), SHARED), { shares: [PEOPLE], handOut }))).toBe(
      'KMS_KEYRING_EXISTS',
    )
    expect([(await stored())?.bytes, handedOut]).toEqual([before?.bytes, 0])
  })

  it('is not made where the one that was there got lost, nor among files of somebody else', async () => {
    await using store = await openKeyringStore(folder.join('store'), { create: true })
    await writeFile(folder.join('store', 'keyring.previous'), 'x', { mode: 0o600 })
    expect(await codeOf(() => init(configured(tpm()), { acceptSingleWayIn: true }))).toBe('STORE_KEYRING_MISSING')
    expect(await readdir(store.path)).toEqual(['keyring.previous'])
  })

  it('is not made in the store of an agent that waits for its own', async () => {
    const store = await openKeyringStore(folder.join('store'), { create: true })
    await store[Symbol.asyncDispose]()
    await using lock = agentLock(folder.join('store'))
    await lock.ensure(signal)
    expect(await codeOf(() => init(configured(tpm()), { acceptSingleWayIn: true }))).toBe('STORE_IN_USE')
  })

  it('is not made where one of the seals does not answer', async () => {
    const config = configured(tpm(), tpm({ name: 'gone', priority: 2, tpm: { socket: folder.join('nothing') } }))
    const failure = await init(config).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'KMS_KEYRING_UNPROVEN',
      message: expect.stringContaining('the seal gone') as unknown,
    })
    expect(await stored()).toBeUndefined()
  })

  it('is not made for people alone', async () => {
    expect(await codeOf(() => init(configured(SHARED), { shares: [PEOPLE] }))).toBe('KMS_KEYRING_UNPROVEN')
  })

  it('is another one each time', async () => {
    const { keyring: one } = await initialised(configured(tpm()))
    const elsewhere = backendConfig(folder.join('elsewhere'), [tpm()])
    const { keyring: other } = await initialised(elsewhere)
    expect(one.clusterId).not.toEqual(other.clusterId)
    expect(one.generations[0]?.id).not.toEqual(other.generations[0]?.id)
    await using backend = runningBackend(elsewhere)
    expect((await backend.look()).versions).toHaveLength(1)
  })
})
