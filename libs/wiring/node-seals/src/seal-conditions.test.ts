import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { readTpmStatus } from '@sealwright/tpm'
import { openThrough } from './node-seals.ts'
import { opening, type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

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

async function lockoutCounter(): Promise<number> {
  const access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes } as const
  return (await readTpmStatus(access)).lockoutCounter
}

describe('a TPM seal with conditions and secrets', () => {
  it('binds its record to the PCRs it names, in whatever order', async () => {
    const seal = seals.only({ pcrs: [16, 7] })
    const keyring = await seals.enrol(seal)
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
    const before = await seals.enrol(seals.only())
    const strict = seals.only({ pcrs: [7, 16], pinFile })
    await swtpm.stop()
    for (const seal of [strict, seals.only({ pcrs: [7] }), seals.only({ pinFile })]) {
      expect(before.records.map(({ sealedKek }) => seal.compareConditions(sealedKek))).toEqual(['weaker'])
      expect(await opening(seal, before)).toBe('TPM_POLICY_WEAKER')
    }
    await swtpm.start()
    const after = await seals.enrol(strict, before)
    expect(after.records.map(({ sealedKek }) => strict.compareConditions(sealedKek))).toEqual(['same'])
    expect(await opening(strict, after)).toBe('opens')
    expect(after.records.map(({ sealedKek }) => seals.only({ pinFile }).compareConditions(sealedKek))).toEqual([
      'stronger',
    ])
    expect(await opening(seals.only({ pinFile }), after)).toBe('opens')
  })

  it('takes its PIN from a file when it needs it, and counts one attempt for a wrong one', async () => {
    const pinFile = join(folder.path, 'pin')
    const seal = seals.only({ pinFile })
    await expect(seals.enrol(seal)).rejects.toMatchObject({ code: 'SECRET_FILE_UNREADABLE' })
    await writeFile(pinFile, '1234\n', { mode: 0o600 })
    const keyring = await seals.enrol(seal)
    expect(await opening(seal, keyring)).toBe('opens')
    await writeFile(pinFile, '4321\n')
    expect(await lockoutCounter()).toBe(0)
    expect(await opening(seal, keyring)).toBe('TPM_PIN_WRONG')
    expect(await lockoutCounter()).toBe(1)
    expect(await opening(seals.only(), keyring)).toBe('TPM_PIN_REQUIRED')
    await writeFile(pinFile, '1234\n')
    expect(await opening(seal, keyring)).toBe('opens')
  })

  it('uses the owner authorisation of the TPM from a file', async () => {
    const ownerAuthFile = join(folder.path, 'owner')
    await writeFile(ownerAuthFile, 'owner', { mode: 0o600 })
    await run('tpm2_changeauth', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'o', 'owner'])
    await expect(seals.enrol(seals.only())).rejects.toMatchObject({ code: 'TPM_OWNER_AUTH' })
    const seal = seals.only({ ownerAuthFile })
    expect(await opening(seal, await seals.enrol(seal))).toBe('opens')
  })

  it('wipes what it has read from secret files, also after a failure', async () => {
    const pinFile = join(folder.path, 'pin')
    await writeFile(pinFile, '1234', { mode: 0o600 })
    const wipe = jest.spyOn(Secret.prototype, 'wipe')
    const seal = seals.only({ pinFile })
    const local = { knownIn: undefined, signal }
    await expect(seal.withLocalMember(local, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(wipe.mock.contexts).toHaveLength(1)
    wipe.mockRestore()
  })
})
