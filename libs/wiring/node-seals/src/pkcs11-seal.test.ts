import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { addRecord, createKeyring, findSeal, type Keyring, matchSealKey, type RecordMethod } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { Secret } from '@sealwright/secret'
import {
  createSoftHsm,
  repositoryRoot,
  type SoftHsm,
  type SoftHsmToken,
  temporaryFolder,
  type TemporaryFolder,
} from '@sealwright/testing-rig'
import { generateAesKey, generateRsaKeyPair, pkcs11Module, pkcs11RemoteMember } from '@sealwright/pkcs11'
import { type ConfiguredSeal } from './configured-seal.ts'
import { configuredSeals, openThrough } from './node-seals.ts'
import { tendSeals } from './tend.ts'
import { opening } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const surroundings = { now: Date.now, randomBytes, signal }
const DEADLINE_MS = 20_000
const pkcs11Program = {
  command: process.execPath,
  args: [join(repositoryRoot(), 'libs/adapters/pkcs11/src/fixtures/serve.ts')],
}

let folder: TemporaryFolder
let hsm: SoftHsm
let token: SoftHsmToken
let sealKey: Secret
let used: ConfiguredSeal[]

beforeEach(async () => {
  folder = await temporaryFolder()
  hsm = await createSoftHsm({ directory: folder.join('hsm') })
  token = await hsm.addToken('sealwright')
  sealKey = new Secret(Uint8Array.from(randomBytes(32)))
  used = []
  const spawn = { ...pkcs11Program, environment: hsm.environment }
  await using module = pkcs11Module({ modulePath: hsm.modulePath, spawn })
  using pin = new Secret(new TextEncoder().encode(token.pin))
  const access = { module, token: { label: token.label }, pin, timeoutMs: DEADLINE_MS }
  await generateAesKey(access, { label: 'kek', randomBytes }, { signal })
  await generateRsaKeyPair(access, { label: 'pair', modulusBits: 2048, randomBytes }, { signal })
})

afterEach(async () => {
  for (const seal of used) await seal[Symbol.asyncDispose]()
  await folder.remove()
})

function sealOf(fields: Readonly<Record<string, unknown>>): ConfiguredSeal {
  const seal = {
    ...{ name: 'hsm', type: 'pkcs11', priority: 1, module: hsm.modulePath, token: { label: token.label } },
    ...{ pinFile: token.pinFile, environment: hsm.environment, deadlineMs: DEADLINE_MS, key: { label: 'kek' } },
    ...fields,
  }
  const [made] = configuredSeals(parseNodeConfig(JSON.stringify({ seals: [seal] }), 'test'), { pkcs11Program })
  if (made === undefined) throw new Error('no seal')
  used.push(made)
  return made
}

const withKek = () => sealOf({})
const withPair = () => sealOf({ key: { label: 'pair' }, mechanism: 'rsa-oaep' })

async function enrolled(seal: ConfiguredSeal, keyring?: Keyring): Promise<Keyring> {
  return await seal.withLocalMember({ knownIn: keyring, signal }, async member => {
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

describe('a PKCS#11 seal', () => {
  it('opens what it was given, by AES on the token, and proves whose it is', async () => {
    const seal = withKek()
    const keyring = await enrolled(seal)
    expect(keyring.records.map(({ method }) => method)).toEqual(['pkcs11-aes-gcm'])
    using opened = await openThrough(seal, keyring, signal)
    expect(opened.isOriginProven).toBe(true)
  })

  it('opens what it was given by RSA, and what others wrapped for its public key', async () => {
    const seal = withPair()
    const keyring = await enrolled(seal)
    const [member] = keyring.members
    if (member === undefined) throw new Error('no member')
    const remote = pkcs11RemoteMember({ spki: member.wrappingKey, memberId: member.memberId, oaepHash: 'sha1' })
    const sealKeys = matchSealKey({ keyring, sealKey })
    const wrapped = await addRecord({
      ...{ keyring, sealKeys, sealName: 'hsm', member: remote, method: remote.method, label: 'node' },
      ...surroundings,
    })
    for (const each of [keyring, wrapped]) {
      using opened = await openThrough(seal, each, signal)
      expect(opened.isOriginProven).toBe(false)
    }
    // A record that anybody could have made is no worse than its own: the member makes no better ones.
    expect(
      await tendSeals({ ...surroundings, keyring: wrapped, sealKeys, seals: [seal], label: 'node' }),
    ).toMatchObject({
      keyring: wrapped,
    })
  })

  it('refuses another key than the one that has records, at opening and at tending', async () => {
    const keyring = await enrolled(withKek())
    const spawn = { ...pkcs11Program, environment: hsm.environment }
    await using module = pkcs11Module({ modulePath: hsm.modulePath, spawn })
    using pin = new Secret(new TextEncoder().encode(token.pin))
    const access = { module, token: { label: token.label }, pin, timeoutMs: DEADLINE_MS }
    await generateAesKey(access, { label: 'other', randomBytes }, { signal })
    const other = sealOf({ key: { label: 'other' } })
    expect(await opening(other, keyring)).toBe('PKCS11_OTHER_KEY')
    const sealKeys = matchSealKey({ keyring, sealKey })
    const tended = await tendSeals({ ...surroundings, keyring, sealKeys, seals: [other], label: 'node' })
    expect(tended.failures.get('hsm')).toMatchObject({ code: 'PKCS11_OTHER_KEY' })
  })

  it('is the same member on every node with the key, and recognises its own among several', async () => {
    const first = await enrolled(withKek())
    const both = await withPair().withLocalMember({ knownIn: undefined, signal }, member =>
      addRecord({
        ...{ keyring: first, sealKeys: matchSealKey({ keyring: first, sealKey }), sealName: 'hsm', member },
        ...{ method: member.method, label: 'node', ...surroundings },
      }),
    )
    expect(both.members).toHaveLength(2)
    expect(await opening(withKek(), both)).toBe('opens')
    expect(await opening(withPair(), both)).toBe('opens')
  })

  it("opens by its own record whatever another member's was damaged to", async () => {
    const seal = withKek()
    const keyring = await enrolled(seal)
    const joined = await withDamaged(keyring, seal, 'pkcs11-aes-gcm')
    expect(await opening(seal, joined)).toBe('opens')
    const records = joined.records.filter(({ memberId }) => memberId.every(byte => byte === 0))
    expect(await opening(seal, { ...joined, records })).toBe('PKCS11_BLOB_MALFORMED')
  })

  it('says what is wrong: a token that is out, and comes back; and one that it has no record for', async () => {
    const seal = withKek()
    const keyring = await enrolled(seal)
    await seal[Symbol.asyncDispose]()
    await rename(hsm.tokenDirectory, `${hsm.tokenDirectory}-away`)
    expect(await opening(withKek(), keyring)).toBe('PKCS11_MODULE_NOT_READY')
    await rename(`${hsm.tokenDirectory}-away`, hsm.tokenDirectory)
    expect(await opening(withKek(), keyring)).toBe('opens')
    expect(await opening(sealOf({ name: 'second' }), keyring)).toBe('KEYRING_NO_RECORD')
    expect(findSeal(keyring, 'second')).toBeUndefined()
  })
})
