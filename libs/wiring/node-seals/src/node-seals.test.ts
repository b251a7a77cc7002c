import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import {
  activateGeneration,
  addGeneration,
  addRecord,
  findRecords,
  MAX_KEYRING_BYTES,
  matchSealKey,
} from '@sealwright/keyring'
import { KEYRING_MAX_BYTES } from '@sealwright/seal-store'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { openThrough, proveThrough } from './node-seals.ts'
import { opening, type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

const { signal } = new AbortController()

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

describe('the seals of a configuration', () => {
  it('come by priority, with what a program must know before it asks one', () => {
    const pinFile = join(folder.path, 'pin')
    const configured = seals.configured(
      { name: 'last', priority: 30 },
      { name: 'off', priority: 1, disabled: true },
      { name: 'first', priority: 2, pinFile },
    )
    expect(configured.map(({ name, disabled, hasPin }) => ({ name, disabled, hasPin }))).toEqual([
      { name: 'off', disabled: true, hasPin: false },
      { name: 'first', disabled: false, hasPin: true },
      { name: 'last', disabled: false, hasPin: false },
    ])
  })
})

describe('a TPM seal', () => {
  it('opens what it was given, also after a power cut', async () => {
    const seal = seals.only()
    const keyring = await seals.enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')
    await swtpm.powerCycle()
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('says that it has no record where only another seal has one', async () => {
    const keyring = await seals.enrol(seals.only())
    expect(await opening(seals.only({ name: 'other' }), keyring)).toBe('KEYRING_NO_RECORD')
  })

  it('names an absent TPM, and opens once it is back', async () => {
    const seal = seals.only()
    const keyring = await seals.enrol(seal)
    await swtpm.stop()
    expect(await opening(seal, keyring)).toBe('TPM_UNREACHABLE')
    await expect(seals.enrol(seal)).rejects.toMatchObject({ code: 'TPM_UNREACHABLE' })
    await swtpm.start()
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('is the same member in two seals, each with its own record', async () => {
    const [one, two] = seals.configured({ name: 'one' }, { name: 'two' })
    if (one === undefined || two === undefined) throw new Error('two seals were configured')
    const keyring = await seals.enrol(two, await seals.enrol(one))
    const [first, second] = keyring.records
    expect(first?.memberId).toEqual(second?.memberId)
    expect(first?.sealId).not.toEqual(second?.sealId)
    expect(await opening(one, keyring)).toBe('opens')
    expect(await opening(two, keyring)).toBe('opens')
    const sealId = first?.sealId ?? new Uint8Array()
    expect(findRecords(keyring, { sealId, memberId: first?.memberId ?? new Uint8Array() })).toHaveLength(1)
  })

  it('proves every record of its TPM, not only the one that opening asks for', async () => {
    const seal = seals.only()
    const keyring = await seals.enrol(seal, await seals.enrol(seal))
    const [record] = keyring.records
    if (record === undefined) throw new Error('the keyring has no record')
    await expect(proveThrough(seal, { keyring }, signal)).resolves.toBeUndefined()
    const spoiled = Uint8Array.from(record.sealedKek)
    spoiled[spoiled.length - 1] = (spoiled[spoiled.length - 1] ?? 0) ^ 1
    // Of the next generation, to which a link leads from the good one.
    const second = await seal.withLocalMember({ knownIn: keyring, signal }, async ({ sealType, memberId }) => {
      const sealKeys = matchSealKey({ keyring, sealKey: seals.sealKey })
      const member = { sealType, memberId, sealKek: () => Promise.resolve(spoiled) }
      const next = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
      const held = sealKeys.with(next.generation.id, next.sealKey)
      const rotated = activateGeneration({ keyring: next.keyring, sealKeys: held, id: next.generation.id })
      const made = { keyring: rotated, sealKeys: held, sealName: 'tpm', member, method: 'tpm-sealed' } as const
      return await addRecord({ ...made, label: 'node', now: Date.now, randomBytes, signal })
    })
    expect(await opening(seal, second)).toBe('opens')
    await expect(proveThrough(seal, { keyring: second }, signal)).rejects.toMatchObject({ code: 'TPM_BLOB_CORRUPT' })
  })

  it("opens by its own record whatever another node's was damaged to", async () => {
    const seal = seals.only()
    const other = {
      sealType: 'tpm',
      memberId: randomBytes(16),
      sealKek: () => Promise.resolve(randomBytes(300)),
    } as const
    const keyring = await seals.enrol(seal)
    const sealKeys = matchSealKey({ keyring, sealKey: seals.sealKey })
    const given = { keyring, sealKeys, sealName: 'tpm', method: 'tpm-sealed', label: 'other', now: Date.now } as const
    const joined = await addRecord({ ...given, member: other, randomBytes, signal })
    expect(await opening(seal, joined)).toBe('opens')
    const records = findRecords(joined, { sealId: joined.seals[0]?.sealId ?? other.memberId, memberId: other.memberId })
    expect(await opening(seal, { ...joined, records })).toBe('TPM_BLOB_MALFORMED')
  })

  it('stops when it is told to', async () => {
    const seal = seals.only()
    const keyring = await seals.enrol(seal)
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
