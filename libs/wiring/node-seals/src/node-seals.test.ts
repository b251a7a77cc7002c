import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  addRecord,
  createKeyring,
  findRecords,
  KEY_BYTES,
  type Keyring,
  MAX_KEYRING_BYTES,
  matchSealKey,
} from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import { KEYRING_MAX_BYTES } from '@sealwright/seal-store'
import { Secret } from '@sealwright/secret'
import { readTpmStatus } from '@sealwright/tpm'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type ConfiguredSeal } from './configured-seal.ts'
import { configuredSeals, openThrough, proveThrough } from './node-seals.ts'

const { signal } = new AbortController()
const run = promisify(execFile)

let folder: TemporaryFolder
let swtpm: Swtpm
let sealKey: Secret

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  sealKey = new Secret(Uint8Array.from(randomBytes(KEY_BYTES)))
})

afterEach(async () => {
  await swtpm.stop()
  await folder.remove()
})

/** The seals of a configuration file, each with the software TPM unless it says otherwise. */
function sealsOf(...seals: readonly Readonly<Record<string, unknown>>[]): readonly ConfiguredSeal[] {
  const file = {
    seals: seals.map((seal, index) => ({
      type: 'tpm',
      name: 'tpm',
      priority: index + 1,
      tpm: { socket: swtpm.socketPath },
      deadlineMs: 10_000,
      ...seal,
    })),
  }
  return configuredSeals(parseNodeConfig(JSON.stringify(file), 'test'))
}

function onlySeal(seal: Readonly<Record<string, unknown>> = {}): ConfiguredSeal {
  const [only] = sealsOf(seal)
  if (only === undefined) throw new Error('no seal')
  return only
}

/** `keyring` with a record for the TPM that is there now; a new keyring if there is none. */
async function enrol(seal: ConfiguredSeal, keyring?: Keyring): Promise<Keyring> {
  return await seal.withLocalMember(signal, async member => {
    const record = {
      sealName: seal.name,
      member,
      method: seal.method,
      label: 'node',
      now: Date.now,
      randomBytes,
      signal,
    }
    if (keyring === undefined) return await createKeyring({ ...record, sealKey })
    const sealKeys = matchSealKey({ keyring, sealKey })
    try {
      return await addRecord({ ...record, keyring, sealKeys, generation: keyring.currentGeneration })
    } finally {
      sealKeys.wipe()
    }
  })
}

/** `opens`, or the code of what stopped it. */
async function opening(seal: ConfiguredSeal, keyring: Keyring): Promise<string> {
  try {
    const opened = await openThrough(seal, keyring, signal)
    opened.close()
    return 'opens'
  } catch (error) {
    return (error as { code: string }).code // every failure of a seal has one
  }
}

async function lockoutCounter(): Promise<number> {
  const access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes } as const
  return (await readTpmStatus(access)).lockoutCounter
}

describe('the seals of a configuration', () => {
  it('come by priority, with what a program must know before it asks one', () => {
    const pinFile = join(folder.path, 'pin')
    const seals = sealsOf(
      { name: 'last', priority: 30 },
      { name: 'off', priority: 1, disabled: true },
      { name: 'first', priority: 2, pinFile },
    )
    expect(seals.map(({ name, disabled, hasPin }) => ({ name, disabled, hasPin }))).toEqual([
      { name: 'off', disabled: true, hasPin: false },
      { name: 'first', disabled: false, hasPin: true },
      { name: 'last', disabled: false, hasPin: false },
    ])
  })
})

describe('a TPM seal', () => {
  it('opens what it was given, also after a power cut', async () => {
    const seal = onlySeal()
    const keyring = await enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')
    await swtpm.powerCycle()
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('says that it has no record where only another seal has one', async () => {
    const keyring = await enrol(onlySeal())
    expect(await opening(onlySeal({ name: 'other' }), keyring)).toBe('KEYRING_NO_RECORD')
  })

  it('names an absent TPM, and opens once it is back', async () => {
    const seal = onlySeal()
    const keyring = await enrol(seal)
    await swtpm.stop()
    expect(await opening(seal, keyring)).toBe('TPM_UNREACHABLE')
    await expect(enrol(seal)).rejects.toMatchObject({ code: 'TPM_UNREACHABLE' })
    await swtpm.start()
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('tells a cleared TPM from a replaced one, with one record and with several', async () => {
    const seal = onlySeal()
    const first = await enrol(seal)
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    expect(await opening(seal, first)).toBe('TPM_CLEARED')
    const second = await enrol(seal, first)
    expect(second.records).toHaveLength(2)
    expect(await opening(seal, second)).toBe('opens')
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    expect(await opening(seal, second)).toBe('TPM_CLEARED')
    await swtpm.replace()
    expect(await opening(seal, first)).toBe('TPM_REPLACED')
    expect(await opening(seal, second)).toBe('TPM_REPLACED')
    expect(await opening(seal, await enrol(seal, second))).toBe('opens')
  })

  it('keeps the record of the TPM before: put back, it opens', async () => {
    await using other = await temporaryFolder()
    const otherTpm = await startSwtpm({ directory: other.path })
    try {
      const seal = onlySeal()
      const replaced = onlySeal({ tpm: { socket: otherTpm.socketPath } })
      const both = await enrol(replaced, await enrol(seal))
      expect(await opening(seal, both)).toBe('opens')
      expect(await opening(replaced, both)).toBe('opens')
    } finally {
      await otherTpm.stop()
    }
  })

  it('is the same member in two seals, each with its own record', async () => {
    const [one, two] = sealsOf({ name: 'one' }, { name: 'two' })
    if (one === undefined || two === undefined) throw new Error('two seals were configured')
    const keyring = await enrol(two, await enrol(one))
    const [first, second] = keyring.records
    expect(first?.memberId).toEqual(second?.memberId)
    expect(first?.sealId).not.toEqual(second?.sealId)
    expect(await opening(one, keyring)).toBe('opens')
    expect(await opening(two, keyring)).toBe('opens')
    const sealId = first?.sealId ?? new Uint8Array()
    expect(findRecords(keyring, { sealId, memberId: first?.memberId ?? new Uint8Array() })).toHaveLength(1)
  })

  it('binds its record to the PCRs it names, in whatever order', async () => {
    const seal = onlySeal({ pcrs: [16, 7] })
    const keyring = await enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')
    await run('tpm2_pcrextend', ['-T', `swtpm:path=${swtpm.socketPath}`, `16:sha256=${'ab'.repeat(32)}`])
    await expect(openThrough(seal, keyring, signal)).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      message: expect.stringContaining('PCR 16 changed') as unknown,
    })
  })

  it('refuses a record that was made before its conditions, without asking the TPM, and opens it under them once it is made anew', async () => {
    const pinFile = join(folder.path, 'pin')
    await writeFile(pinFile, '1234', { mode: 0o600 })
    const before = await enrol(onlySeal())
    const strict = onlySeal({ pcrs: [7, 16], pinFile })
    await swtpm.stop()
    for (const seal of [strict, onlySeal({ pcrs: [7] }), onlySeal({ pinFile })]) {
      expect(before.records.map(({ sealedKek }) => seal.compareConditions(sealedKek))).toEqual(['weaker'])
      expect(await opening(seal, before)).toBe('TPM_POLICY_WEAKER')
    }
    await swtpm.start()
    const after = await enrol(strict, before)
    expect(after.records.map(({ sealedKek }) => strict.compareConditions(sealedKek))).toEqual(['same'])
    expect(await opening(strict, after)).toBe('opens')
    expect(after.records.map(({ sealedKek }) => onlySeal({ pinFile }).compareConditions(sealedKek))).toEqual([
      'stronger',
    ])
    expect(await opening(onlySeal({ pinFile }), after)).toBe('opens')
  })

  it('talks to the TPM that its configuration names and to no other, when it is enrolled and when it opens', async () => {
    await using other = await temporaryFolder()
    const otherTpm = await startSwtpm({ directory: other.path })
    const at = (socket: string, storageKeyName?: string) => onlySeal({ tpm: { socket }, storageKeyName })
    try {
      const keyring = await enrol(onlySeal())
      const [name = ''] = onlySeal().enrolledDevices(keyring)
      expect(await opening(at(swtpm.socketPath, name), keyring)).toBe('opens')
      await expect(enrol(at(otherTpm.socketPath, name))).rejects.toMatchObject({ code: 'TPM_NAME_MISMATCH' })

      const both = await enrol(at(otherTpm.socketPath), keyring)
      const [otherName] = onlySeal().enrolledDevices(both)
      expect(onlySeal().enrolledDevices(both)).toHaveLength(2)
      expect(await opening(at(otherTpm.socketPath, name), both)).toBe('TPM_REPLACED')
      expect(await opening(at(otherTpm.socketPath, otherName), both)).toBe('opens')
      await otherTpm.stop()
      const onlyOther = await enrol(onlySeal())
      expect(await opening(at(otherTpm.socketPath, otherName), onlyOther)).toBe('TPM_NAME_MISMATCH')
    } finally {
      await otherTpm.stop()
    }
  })

  it('proves every record of its TPM, not only the one that opening asks for', async () => {
    const seal = onlySeal()
    const keyring = await enrol(seal, await enrol(seal))
    const [record] = keyring.records
    if (record === undefined) throw new Error('the keyring has no record')
    await expect(proveThrough(seal, keyring, signal)).resolves.toBeUndefined()
    const spoiled = Uint8Array.from(record.sealedKek)
    spoiled[spoiled.length - 1] = (spoiled[spoiled.length - 1] ?? 0) ^ 1
    // Listed after the good one; the MAC of the contents is another test's matter.
    const second = await seal.withLocalMember(signal, async ({ sealType, memberId }) => {
      const sealKeys = matchSealKey({ keyring, sealKey })
      const member = { sealType, memberId, sealKek: () => Promise.resolve(spoiled) }
      const made = { keyring, sealKeys, generation: 1, sealName: 'tpm', member, method: seal.method, slot: 1 }
      return await addRecord({ ...made, label: 'node', now: Date.now, randomBytes, signal })
    })
    expect(await opening(seal, second)).toBe('opens')
    await expect(proveThrough(seal, second, signal)).rejects.toMatchObject({ code: 'TPM_BLOB_CORRUPT' })
  })

  it('takes its PIN from a file when it needs it, and counts one attempt for a wrong one', async () => {
    const pinFile = join(folder.path, 'pin')
    const seal = onlySeal({ pinFile })
    await expect(enrol(seal)).rejects.toMatchObject({ code: 'SECRET_FILE_UNREADABLE' })
    await writeFile(pinFile, '1234\n', { mode: 0o600 })
    const keyring = await enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')
    await writeFile(pinFile, '4321\n')
    expect(await lockoutCounter()).toBe(0)
    expect(await opening(seal, keyring)).toBe('TPM_PIN_WRONG')
    expect(await lockoutCounter()).toBe(1)
    expect(await opening(onlySeal(), keyring)).toBe('TPM_PIN_REQUIRED')
    await writeFile(pinFile, '1234\n')
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('uses the owner authorisation of the TPM from a file', async () => {
    const ownerAuthFile = join(folder.path, 'owner')
    await writeFile(ownerAuthFile, 'owner', { mode: 0o600 })
    await run('tpm2_changeauth', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'o', 'owner'])
    await expect(enrol(onlySeal())).rejects.toMatchObject({ code: 'TPM_OWNER_AUTH' })
    const seal = onlySeal({ ownerAuthFile })
    expect(await opening(seal, await enrol(seal))).toBe('opens')
  })

  it('wipes what it has read from secret files, also after a failure', async () => {
    const pinFile = join(folder.path, 'pin')
    await writeFile(pinFile, '1234', { mode: 0o600 })
    const wipe = jest.spyOn(Secret.prototype, 'wipe')
    const seal = onlySeal({ pinFile })
    await expect(seal.withLocalMember(signal, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(wipe.mock.contexts).toHaveLength(1)
    wipe.mockRestore()
  })

  it('stops when it is told to', async () => {
    const seal = onlySeal()
    const keyring = await enrol(seal)
    await expect(openThrough(seal, keyring, AbortSignal.abort(new Error('stop')))).rejects.toMatchObject({
      code: 'TPM_CANCELLED',
    })
  })
})

describe('a seal store', () => {
  it('holds the largest keyring that there can be', () => {
    expect(KEYRING_MAX_BYTES).toBe(MAX_KEYRING_BYTES)
  })
})
