import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import {
  createKeyring,
  decodeKeyring,
  encodeKeyring,
  type Keyring,
  matchSealKey,
  removeMember,
  removeSeal,
} from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { adoptKeyring } from './adopt.ts'
import {
  decodeEnrolmentRequest,
  encodeEnrolmentRequest,
  enrolmentFingerprint,
  enrolmentMember,
  makeEnrolmentRequest,
} from './enrolment.ts'
import { readStoredKeyring } from './store.ts'
import { type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

const { signal } = new AbortController()
const run = promisify(execFile)

let folder: TemporaryFolder
let swtpm: Swtpm
let seals: TpmSeals

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  seals = tpmSeals(swtpm.socketPath)
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

describe('an enrolment request', () => {
  it('is read back as it was written, and its fingerprint covers all of it', async () => {
    const request = await makeEnrolmentRequest(seals.only(), 'node-d', signal)
    const bytes = encodeEnrolmentRequest(request)
    const read = decodeEnrolmentRequest(bytes)
    const fingerprint = enrolmentFingerprint(request)
    expect(enrolmentFingerprint(read)).toBe(fingerprint)
    expect(fingerprint).toMatch(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/)
    for (const change of [
      { sealName: 'other' },
      { label: 'other' },
      { wrappingKey: read.like },
      { like: read.wrappingKey },
    ]) {
      expect(enrolmentFingerprint({ ...read, ...change })).not.toBe(fingerprint)
    }
    expect(enrolmentMember(read)).toMatchObject({ method: 'tpm-imported', member: { sealType: 'tpm' } })
  })

  it('is refused if it is cut, changed, too long, or none', async () => {
    const bytes = encodeEnrolmentRequest(await makeEnrolmentRequest(seals.only(), 'node-d', signal))
    const text = Buffer.from(bytes).toString()
    const cases = [
      bytes.subarray(0, -3),
      Buffer.from(text.replace('"version": 1', '"version": 2')),
      Buffer.from(text.replace('"label"', '"name"')),
      Buffer.from('{}'),
      new Uint8Array(),
      new Uint8Array(20_000),
    ]
    for (const odd of cases) {
      expect(() => decodeEnrolmentRequest(odd)).toThrow(
        expect.objectContaining({ code: 'ENROLMENT_REQUEST_MALFORMED' }) as Error,
      )
    }
    const request = decodeEnrolmentRequest(bytes)
    expect(() => enrolmentMember({ ...request, like: request.wrappingKey })).toThrow(
      expect.objectContaining({ code: 'ENROLMENT_REQUEST_MALFORMED' }) as Error,
    )
  })

  it('is not made for a seal with a PIN, which nobody else may know', async () => {
    const pinFile = folder.join('pin')
    await writeFile(pinFile, '1234', { mode: 0o600 })
    await expect(makeEnrolmentRequest(seals.only({ pinFile }), 'node-d', signal)).rejects.toMatchObject({
      code: 'ENROLMENT_UNSUPPORTED',
    })
  })
})

describe('a keyring that is brought to a machine', () => {
  const sealKey = new Secret(Uint8Array.from(randomBytes(32)))

  /** Of a node that is no more. */
  async function brought(): Promise<Keyring> {
    return await createKeyring({
      ...{ sealName: 'backup', method: 'transit', label: 'gone', sealKey, now: Date.now, randomBytes, signal },
      member: {
        ...{ sealType: 'transit', memberId: randomBytes(16) },
        sealKek: () => Promise.resolve(randomBytes(60)),
      },
    })
  }

  const adopt = (keyring: Keyring, more: { seal?: object; clusterId?: Uint8Array } = {}) =>
    adoptKeyring(
      {
        keyring,
        sealKeys: matchSealKey({ keyring, sealKey }),
        clusterId: more.clusterId,
        seals: seals.configured({ ...more.seal }),
        storePath: folder.join('seal'),
        label: 'node-d',
      },
      signal,
    )

  it('gets a record of this machine, proven, and is written', async () => {
    const keyring = await brought()
    const { opens, failures } = await adopt(keyring)
    expect([opens, failures.size]).toEqual([['tpm'], 0])
    expect((await readStoredKeyring(folder.join('seal'))).members.map(({ label }) => label).sort()).toEqual([
      'gone',
      'node-d',
    ])
    // Once more, harmlessly.
    const before = encodeKeyring(await readStoredKeyring(folder.join('seal')))
    await adopt(decodeKeyring(before))
    expect(encodeKeyring(await readStoredKeyring(folder.join('seal')))).toEqual(before)
  })

  it('does not let in a machine that was removed, unless its TPM is another one since', async () => {
    const { keyring: both } = await adopt(await brought())
    const place = both.members.find(({ label }) => label === 'node-d')
    if (place === undefined) throw new Error('no member')
    const keyring = removeMember({ keyring: both, sealKeys: matchSealKey({ keyring: both, sealKey }), place })
    await rm(folder.join('seal'), { recursive: true })
    await expect(adopt(keyring)).rejects.toMatchObject({
      code: 'ENROLMENT_NOTHING_PROVEN',
      message: expect.stringMatching(/tpm: KEYRING_NO_RECORD: .*the member of this node was removed/) as string,
    })
    await expect(readStoredKeyring(folder.join('seal'))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    expect((await adopt(keyring)).opens).toEqual(['tpm'])
  })

  it('is adopted without a seal that was removed from it, which is told', async () => {
    const { keyring: both } = await adopt(await brought())
    const sealKeys = matchSealKey({ keyring: both, sealKey })
    const removed = both.seals.find(({ name }) => name === 'backup')
    if (removed === undefined) throw new Error('no seal')
    const keyring = removeSeal({ keyring: both, sealKeys, sealId: removed.sealId })
    const [tpm] = seals.configured({})
    if (tpm === undefined) throw new Error('no seal is configured')
    const { opens, failures } = await adoptKeyring(
      {
        ...{ keyring, sealKeys, clusterId: undefined, seals: [tpm, { ...tpm, name: 'backup' }] },
        ...{ storePath: folder.join('other'), label: 'node-d' },
      },
      signal,
    )
    expect(opens).toEqual(['tpm'])
    expect([...failures].map(([name, { code }]) => [name, code])).toEqual([['backup', 'KEYRING_NO_RECORD']])
    expect((await readStoredKeyring(folder.join('other'))).seals.map(({ state }) => state).sort()).toEqual([
      'active',
      'removed',
    ])
  })

  it('is not written if no seal of this machine takes part', async () => {
    await expect(adopt(await brought(), { seal: { tpm: { socket: '/nowhere' } } })).rejects.toMatchObject({
      code: 'ENROLMENT_NOTHING_PROVEN',
    })
    await expect(readStoredKeyring(folder.join('seal'))).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
  })

  it('never takes the place of a store of another cluster, nor is it taken for one that it is not', async () => {
    const keyring = await brought()
    await adopt(keyring)
    const otherKey = new Secret(Uint8Array.from(randomBytes(32)))
    const other = await createKeyring({
      ...{ sealName: 'backup', method: 'transit', label: 'x', sealKey: otherKey, now: Date.now, randomBytes, signal },
      member: { sealType: 'transit', memberId: randomBytes(16), sealKek: () => Promise.resolve(randomBytes(60)) },
    })
    const adopting = adoptKeyring(
      {
        ...{ keyring: other, sealKeys: matchSealKey({ keyring: other, sealKey: otherKey }), clusterId: undefined },
        ...{ seals: seals.configured({}), storePath: folder.join('seal'), label: 'node-d' },
      },
      signal,
    )
    await expect(adopting).rejects.toMatchObject({ code: 'ENROLMENT_OTHER_CLUSTER' })
    await expect(adopt(keyring, { clusterId: other.clusterId })).rejects.toMatchObject({
      code: 'KEYRING_OTHER_CLUSTER',
    })
  })
})
