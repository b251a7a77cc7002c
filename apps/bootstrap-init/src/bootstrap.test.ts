import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addGeneration, decodeKeyring, encodeKeyring, type Keyring, KEY_BYTES, matchSealKey } from '@sealwright/keyring'
import { Secret } from '@sealwright/secret'
import { TpmError } from '@sealwright/tpm'
import { bootstrap, type BootstrapInput, type BootstrapReport } from './bootstrap.ts'
import { fakeSeal, type FakeSeal } from './testing/fake-seal.ts'
import { tempFolder, type TempFolder } from './testing/temp-folder.ts'

const absent = new TpmError('TPM_UNREACHABLE', 'nothing answers at /dev/tpmrm0')
const refused = new TpmError('TPM_RC', 'TPM2_Create failed with TPM_RC_VALUE', { rc: 0x84 })

let folder: TempFolder
let storePath: string
let sealKey: Secret
let seal: FakeSeal

beforeEach(async () => {
  folder = await tempFolder()
  storePath = join(folder.path, 'seal')
  sealKey = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))
  seal = fakeSeal()
})

afterEach(async () => {
  jest.restoreAllMocks()
  await folder[Symbol.asyncDispose]()
})

async function run(change: Partial<BootstrapInput> = {}): Promise<BootstrapReport> {
  return await bootstrap({
    storePath,
    tightenModes: false,
    seals: [seal],
    handedKey: { sealKey, keyId: undefined },
    handedKeyPath: '/run/secrets/bootstrap',
    label: 'node-1',
    now: Date.now,
    randomBytes,
    signal: new AbortController().signal,
    ...change,
  })
}

/** Every file of the store with its content and the time of its last change; `undefined` if there is no store. */
async function storeNow(): Promise<Readonly<Record<string, unknown>> | undefined> {
  const names = await readdir(storePath).catch(() => undefined)
  if (names === undefined) return undefined
  const files = names.sort().map(async name => {
    const path = join(storePath, name)
    const { mtimeNs, ino } = await stat(path, { bigint: true })
    return [name, { hex: (await readFile(path)).toString('hex'), mtimeNs, ino }] as const
  })
  return Object.fromEntries(await Promise.all(files))
}

async function storedKeyring(): Promise<Keyring> {
  return decodeKeyring(await readFile(join(storePath, 'keyring')))
}

const failure = (code: string, message = /./): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as unknown })

const opens = { name: 'tpm', state: 'opens' }
const fails = (code: string, name = 'tpm'): unknown => ({ name, state: 'fails', failure: failure(code) })

describe('a new node', () => {
  it('gets a store that was opened back before it counted', async () => {
    const report = await run()
    expect(report).toMatchObject({ result: 'created', seals: [opens] })
    expect(seal.asked()).toEqual({ toEnrol: 1, toOpen: 1 })
    expect(await storedKeyring()).toEqual(report.keyring)
    expect(report.keyring.members).toMatchObject([{ label: 'node-1' }])
  })

  it('gets no store when what was wrapped does not open, and the error names the cause', async () => {
    seal.failOpeningWith(new TpmError('TPM_GONE', 'the connection broke'))
    await expect(run()).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /seal tpm does not open .*\(TPM_GONE: the connection broke\); the store is as/),
    )
    expect(Object.keys((await storeNow()) ?? {})).toEqual(['writer.lock'])
    seal.failOpeningWith(undefined)
    expect(await run()).toMatchObject({ result: 'created', seals: [opens] })
  })

  it('needs its TPM: one that is late is an error, and the next run goes well', async () => {
    seal.failWith(absent)
    await expect(run()).rejects.toEqual(failure('TPM_UNREACHABLE'))
    expect(await storeNow()).toEqual({})
    seal.failWith(undefined)
    expect(await run()).toMatchObject({ result: 'created' })
  })

  it('needs all its seals: with one missing nothing is written', async () => {
    const late = fakeSeal({ name: 'late', priority: 2 })
    late.failWith(absent)
    await expect(run({ seals: [seal, late] })).rejects.toEqual(failure('TPM_UNREACHABLE'))
    expect(await storeNow()).toEqual({})
    late.failWith(undefined)
    const report = await run({ seals: [seal, late] })
    expect(report).toMatchObject({ result: 'created', seals: [opens, { name: 'late', state: 'opens' }] })
    expect(report.keyring.records).toHaveLength(2)
  })

  it('needs a seal key', async () => {
    const missing = failure(
      'BOOTSTRAP_KEY_MISSING',
      /no seal key at \/run\/secrets\/bootstrap, and no keyring in .*seal:/,
    )
    await expect(run({ handedKey: undefined })).rejects.toEqual(missing)
    expect(await storeNow()).toBeUndefined()
    await mkdir(storePath, { mode: 0o700 })
    await expect(run({ handedKey: undefined })).rejects.toEqual(missing)
    expect(await storeNow()).toEqual({})
  })

  it('is left empty by a signal during the proof', async () => {
    const controller = new AbortController()
    seal.failOpeningWith(new TpmError('TPM_CANCELLED', 'cancelled'))
    const stopping: FakeSeal = {
      ...seal,
      withRecordedMember: (keyring, signal, use) => {
        controller.abort(new Error('stopped by SIGTERM'))
        return seal.withRecordedMember(keyring, signal, use)
      },
    }
    await expect(run({ seals: [stopping], signal: controller.signal })).rejects.toThrow('stopped by SIGTERM')
    expect(Object.keys((await storeNow()) ?? {})).toEqual(['writer.lock'])
  })

  it('ends with one whole store when two bootstraps meet', async () => {
    const results = await Promise.allSettled([run(), run()])
    expect(results.some(({ status }) => status === 'fulfilled')).toBe(true)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(failure('STORE_CHANGED'))
    }
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })
})

describe('a node that was bootstrapped before', () => {
  it('is not touched by a second run, with the key or without', async () => {
    await run()
    const before = await storeNow()
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect(await storeNow()).toEqual(before)
  })

  it('refuses another key before any TPM is asked, and stays as it was', async () => {
    await run()
    const before = await storeNow()
    const asked = seal.asked()
    const other = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))
    await expect(run({ handedKey: { sealKey: other, keyId: undefined } })).rejects.toEqual(failure('KEYRING_OTHER_KEY'))
    seal.useDevice('second')
    await expect(run({ handedKey: { sealKey: other, keyId: undefined } })).rejects.toEqual(failure('KEYRING_OTHER_KEY'))
    expect(seal.asked()).toEqual(asked)
    expect(await storeNow()).toEqual(before)
  })

  it('refuses the zero key', async () => {
    const zeros = new Secret(new Uint8Array(KEY_BYTES))
    await expect(run({ handedKey: { sealKey: zeros, keyId: undefined } })).rejects.toEqual(
      failure('KEYRING_SEAL_KEY_INVALID'),
    )
    expect(await storeNow()).toEqual({})
  })

  it('may start without its TPM, which is asked only once', async () => {
    await run()
    const before = await storeNow()
    const asked = seal.asked()
    seal.failWith(absent)
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    expect(seal.asked()).toEqual({ toEnrol: asked.toEnrol + 1, toOpen: asked.toOpen })
    expect(await run({ handedKey: undefined })).toMatchObject({
      result: 'unchanged',
      seals: [fails('TPM_UNREACHABLE')],
    })
    expect(await storeNow()).toEqual(before)
    seal.failWith(undefined)
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('is told, without a change, when its TPM has a trouble that will not pass', async () => {
    await run()
    const before = await storeNow()
    seal.failWith(refused)
    await expect(run()).rejects.toEqual(failure('TPM_RC'))
    expect(await storeNow()).toEqual(before)
  })

  it('keeps the old way in when another TPM gets one', async () => {
    const { keyring: first } = await run()
    seal.useDevice('second')
    expect(await run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [fails('TPM_REPLACED')] })
    const { result, keyring, seals } = await run()
    expect({ result, seals }).toEqual({ result: 'extended', seals: [opens] })
    expect(keyring.records).toHaveLength(2)
    expect(keyring.records).toEqual(expect.arrayContaining([...first.records]))
    expect(await run({ handedKey: undefined })).toMatchObject({ result: 'unchanged', seals: [opens] })
    seal.useDevice('first')
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('stays as it was when the new record of another TPM does not open', async () => {
    await run()
    const before = (await storeNow()) ?? {}
    seal.useDevice('second')
    seal.failOpeningWith(refused)
    await expect(run()).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED', /TPM_RC: /))
    const after = (await storeNow()) ?? {}
    expect(after.keyring).toEqual(before.keyring)
    expect(Object.keys(after)).toEqual(Object.keys(before))
  })

  it('gets a record for a seal that its configuration names since then', async () => {
    await run()
    const added = fakeSeal({ name: 'added', priority: 2 })
    added.failWith(absent)
    expect(await run({ seals: [seal, added] })).toMatchObject({
      result: 'unchanged',
      seals: [opens, fails('TPM_UNREACHABLE', 'added')],
    })
    added.failWith(undefined)
    const report = await run({ seals: [seal, added] })
    expect(report).toMatchObject({ result: 'extended', seals: [opens, { name: 'added', state: 'opens' }] })
    expect(report.keyring.seals).toHaveLength(2)
  })

  it('gets a record of the current generation after a rotation, whichever key it is handed', async () => {
    const { keyring } = await run()
    const sealKeys = matchSealKey({ keyring, sealKey })
    const next = addGeneration({ keyring, sealKeys, randomBytes })
    sealKeys.wipe()
    await writeFile(join(storePath, 'keyring'), encodeKeyring(next.keyring))
    const report = await run()
    expect(report).toMatchObject({ result: 'extended', seals: [opens] })
    expect(report.keyring.records.map(({ generation }) => generation)).toEqual([1, 2])
    expect(await run({ handedKey: { sealKey: next.sealKey, keyId: undefined } })).toMatchObject({
      result: 'unchanged',
      seals: [opens],
    })
  })
})

describe('a node whose configuration asks for other conditions than its record has', () => {
  it('gets a record made anew in its place, proven before it counts, and keeps the one before beside it', async () => {
    const { keyring: before } = await run()
    seal.configure('pin')
    const { result, keyring, seals } = await run()
    expect({ result, seals }).toEqual({ result: 'renewed', seals: [opens] })
    expect(keyring.records).toMatchObject([{ slot: 0, generation: 1, entryVersion: 2 }])
    expect(keyring.records.map(({ sealedKek }) => seal.compareConditions(sealedKek))).toEqual(['same'])
    expect(await storedKeyring()).toEqual(keyring)
    expect(decodeKeyring(await readFile(join(storePath, 'keyring.previous')))).toEqual(before)
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('gets one made anew as well where a condition was taken back', async () => {
    seal.configure('pin and pcrs')
    await run()
    seal.configure('none')
    expect(await run()).toMatchObject({ result: 'renewed', seals: [opens] })
    expect((await storedKeyring()).records.map(({ sealedKek }) => seal.compareConditions(sealedKek))).toEqual(['same'])
  })

  it('stays as it was without the seal key, and is told that its seal does not open, although it has a PIN', async () => {
    seal = fakeSeal({ hasPin: true })
    await run()
    const before = await storeNow()
    seal.configure('pin')
    expect(await run({ handedKey: undefined })).toMatchObject({
      result: 'unchanged',
      seals: [fails('TPM_POLICY_WEAKER')],
    })
    expect(await storeNow()).toEqual(before)
  })

  it('stays as it was, and says why, when the new record does not open now', async () => {
    await run()
    const before = (await storeNow()) ?? {}
    seal.configure('pin')
    seal.failOpeningWith(new TpmError('TPM_PCR_MISMATCH', 'PCR 7 changed'))
    await expect(run()).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED', /TPM_PCR_MISMATCH: PCR 7 changed/))
    expect((await storeNow())?.keyring).toEqual(before.keyring)
    seal.configure('none')
    seal.failOpeningWith(undefined)
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [opens] })
  })

  it('stays as it was while its TPM is late', async () => {
    await run()
    const before = await storeNow()
    seal.configure('pin')
    seal.failWith(absent)
    expect(await run()).toMatchObject({ result: 'unchanged', seals: [fails('TPM_UNREACHABLE')] })
    expect(await storeNow()).toEqual(before)
  })

  it('gets every record of its TPM made anew after a rotation, and none if the key of an older one is not at hand', async () => {
    await run()
    const { keyring } = await run()
    const sealKeys = matchSealKey({ keyring, sealKey })
    const next = addGeneration({ keyring, sealKeys, randomBytes })
    sealKeys.wipe()
    await writeFile(join(storePath, 'keyring'), encodeKeyring(next.keyring))
    await run()
    const before = (await storeNow()) ?? {}
    seal.configure('pin')
    await expect(run({ handedKey: { sealKey: next.sealKey, keyId: undefined } })).rejects.toEqual(
      failure('BOOTSTRAP_PROOF_FAILED', /TPM_POLICY_WEAKER/),
    )
    expect((await storeNow())?.keyring).toEqual(before.keyring)
    const { result, keyring: renewed } = await run()
    expect(result).toBe('renewed')
    expect(renewed.records).toMatchObject([{ generation: 1 }, { generation: 2 }])
    expect(renewed.records.map(({ sealedKek }) => seal.compareConditions(sealedKek))).toEqual(['same', 'same'])
  })
})

describe('the names of the devices', () => {
  it('are told with the seal key, or when a seal opens, and never out of a keyring that nothing has authenticated', async () => {
    const { devices } = await run()
    expect(devices.get('tpm')).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)])
    expect((await run({ handedKey: undefined })).devices).toEqual(devices)
    seal.failWith(absent)
    expect((await run()).devices).toEqual(devices)
    expect((await run({ handedKey: undefined })).devices.size).toBe(0)
  })
})

describe('a store that cannot be used', () => {
  it.each<[string, (path: string) => Promise<unknown>, string]>([
    ['truncated', path => truncate(path, 100), 'STORE_KEYRING_INVALID'],
    ['empty', path => truncate(path, 0), 'STORE_KEYRING_EMPTY'],
    ['of a newer version', async path => writeFile(path, flipped(await readFile(path), 4)), 'STORE_KEYRING_INVALID'],
    ['changed at its end', async path => writeFile(path, flipped(await readFile(path), -1)), 'KEYRING_AUTH_FAILED'],
    ['readable by others', path => chmod(path, 0o640), 'STORE_UNSAFE_PERMISSIONS'],
  ])('is left alone, and no TPM is asked: %s', async (_, damage, code) => {
    await run()
    const asked = seal.asked()
    await damage(join(storePath, 'keyring'))
    const before = await storeNow()
    await expect(run()).rejects.toEqual(failure(code))
    expect(await storeNow()).toEqual(before)
    expect(seal.asked()).toEqual(asked)
  })

  it('is not taken for a new one when its keyring is gone', async () => {
    await run()
    seal.useDevice('second')
    await run()
    await truncate(join(storePath, 'keyring.previous'), 0)
    await rm(join(storePath, 'keyring'))
    const before = await storeNow()
    await expect(run()).rejects.toEqual(failure('STORE_KEYRING_MISSING'))
    expect(await storeNow()).toEqual(before)
  })

  it('has its modes tightened where that is asked for', async () => {
    await run()
    await chmod(storePath, 0o2770)
    await chmod(join(storePath, 'keyring'), 0o660)
    await expect(run()).rejects.toEqual(failure('STORE_UNSAFE_PERMISSIONS'))
    expect(await run({ tightenModes: true })).toMatchObject({ result: 'unchanged', seals: [opens] })
    expect((await stat(storePath)).mode & 0o7777).toBe(0o700)
    expect((await stat(join(storePath, 'keyring'))).mode & 0o7777).toBe(0o600)
    expect(await run()).toMatchObject({ result: 'unchanged' })
  })
})

describe('the name of the key', () => {
  const named = (keyId: string | undefined): Promise<BootstrapReport> => run({ handedKey: { sealKey, keyId } })

  it('is kept from the first run; a run without one changes nothing', async () => {
    expect((await named('bootstrap-1')).keyring.generations).toMatchObject([{ keyId: 'bootstrap-1' }])
    expect(await named('bootstrap-1')).toMatchObject({ result: 'unchanged' })
    expect(await named(undefined)).toMatchObject({ result: 'unchanged' })
  })

  it('cannot change: one key must not go by two names', async () => {
    await named('bootstrap-1')
    const before = await storeNow()
    await expect(named('bootstrap-2')).rejects.toEqual(
      failure('BOOTSTRAP_KEY_ID', /stored as bootstrap-1.*bootstrap-2/),
    )
    expect(await storeNow()).toEqual(before)
  })
})

describe('a seal with a PIN', () => {
  it('is tried once to prove a new record, and never in a run that changes nothing', async () => {
    seal = fakeSeal({ hasPin: true })
    expect(await run()).toMatchObject({ result: 'created', seals: [opens] })
    seal.failOpeningWith(new TpmError('TPM_PIN_WRONG', 'the TPM refused the PIN'))
    const notTried = { result: 'unchanged', seals: [{ name: 'tpm', state: 'not-tried' }] }
    expect(await run()).toMatchObject(notTried)
    expect(await run({ handedKey: undefined })).toMatchObject(notTried)
    expect(seal.asked().toOpen).toBe(1)
  })

  it('is not tried when only another seal has something to prove', async () => {
    const withPin = fakeSeal({ name: 'pin', priority: 2, hasPin: true })
    await run({ seals: [seal, withPin] })
    seal.useDevice('second')
    expect(await run({ seals: [seal, withPin] })).toMatchObject({
      result: 'extended',
      seals: [opens, { name: 'pin', state: 'not-tried' }],
    })
    expect(withPin.asked().toOpen).toBe(1)
  })
})

describe('what is secret', () => {
  it('is wiped at the end, whether or not the run went well; the handed key stays the caller’s', async () => {
    const clone = jest.spyOn(Secret.prototype, 'clone')
    await run()
    seal.useDevice('second')
    await run()
    seal.useDevice('third')
    seal.failOpeningWith(refused)
    await expect(run()).rejects.toEqual(failure('BOOTSTRAP_PROOF_FAILED'))
    const clones = clone.mock.results.map(({ value }) => value as Secret) // every call returned one
    expect(clones.length).toBeGreaterThanOrEqual(3)
    expect(seal.keks.length).toBeGreaterThanOrEqual(5)
    for (const secret of [...clones, ...seal.keks]) {
      expect(() => {
        secret.reveal(() => undefined)
      }).toThrow('was wiped')
    }
    expect(sealKey.byteLength).toBe(KEY_BYTES)
    expect(sealKey.reveal(bytes => bytes.some(byte => byte !== 0))).toBe(true)
  })
})

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  const index = at < 0 ? bytes.byteLength + at : at
  changed.writeUInt8(changed.readUInt8(index) ^ 1, index)
  return changed
}
