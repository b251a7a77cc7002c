import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Keyring, type SealMember } from '@sealwright/keyring'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { opening, type TpmSeals, tpmSeals } from './testing/tpm-seals.ts'

const run = promisify(execFile)
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

describe('a TPM seal that may meet another TPM', () => {
  it('tells a cleared TPM from a replaced one, with one record and with several', async () => {
    const seal = seals.only()
    const first = await seals.enrol(seal)
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    expect(await opening(seal, first)).toBe('TPM_CLEARED')
    const second = await seals.enrol(seal, first)
    expect(second.records).toHaveLength(2)
    expect(await opening(seal, second)).toBe('opens')
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    expect(await opening(seal, second)).toBe('TPM_CLEARED')
    await swtpm.replace()
    expect(await opening(seal, first)).toBe('TPM_REPLACED')
    expect(await opening(seal, second)).toBe('TPM_REPLACED')
    expect(await opening(seal, await seals.enrol(seal, second))).toBe('opens')
  })

  it('lends no stranger for a new record where it must be known, and nobody may seal anything by it', async () => {
    const seal = seals.only()
    const keyring = await seals.enrol(seal)
    const use = jest.fn(({ memberId }: SealMember) => Promise.resolve(memberId))
    const lent = (knownIn: Keyring | undefined, by = seal) => by.withLocalMember({ knownIn, signal }, use)
    const [record] = keyring.records
    await expect(lent(keyring)).resolves.toEqual(record?.memberId)
    await run('tpm2_clear', ['-T', `swtpm:path=${swtpm.socketPath}`, '-c', 'p'])
    use.mockClear()
    await expect(lent(keyring)).rejects.toMatchObject({ code: 'TPM_CLEARED' })
    await swtpm.replace()
    await expect(lent(keyring)).rejects.toMatchObject({ code: 'TPM_REPLACED' })
    expect(use).not.toHaveBeenCalled()
    // Nobody is known for a seal without a record, nor where nothing is stored.
    await expect(lent(keyring, seals.only({ name: 'other' }))).resolves.not.toEqual(record?.memberId)
    await expect(lent(undefined)).resolves.not.toEqual(record?.memberId)
  })

  it('keeps the record of the TPM before: put back, it opens', async () => {
    await using other = await temporaryFolder()
    const otherTpm = await startSwtpm({ directory: other.path })
    try {
      const seal = seals.only()
      const replaced = seals.only({ tpm: { socket: otherTpm.socketPath } })
      const both = await seals.enrol(replaced, await seals.enrol(seal))
      expect(await opening(seal, both)).toBe('opens')
      expect(await opening(replaced, both)).toBe('opens')
    } finally {
      await otherTpm.stop()
    }
  })

  it('talks to the TPM that its configuration names and to no other, when it is enrolled and when it opens', async () => {
    await using other = await temporaryFolder()
    const otherTpm = await startSwtpm({ directory: other.path })
    const at = (socket: string, storageKeyName?: string) => seals.only({ tpm: { socket }, storageKeyName })
    try {
      const keyring = await seals.enrol(seals.only())
      const name = seals.only().enrolledDevices(keyring)[0]?.storageKeyName
      expect(await opening(at(swtpm.socketPath, name), keyring)).toBe('opens')
      await expect(seals.enrol(at(otherTpm.socketPath, name))).rejects.toMatchObject({ code: 'TPM_NAME_MISMATCH' })

      const both = await seals.enrol(at(otherTpm.socketPath), keyring)
      const otherName = seals.only().enrolledDevices(both)[0]?.storageKeyName
      expect(seals.only().enrolledDevices(both)).toHaveLength(2)
      expect(await opening(at(otherTpm.socketPath, name), both)).toBe('TPM_REPLACED')
      expect(await opening(at(otherTpm.socketPath, otherName), both)).toBe('opens')
      await otherTpm.stop()
      const onlyOther = await seals.enrol(seals.only())
      expect(await opening(at(otherTpm.socketPath, otherName), onlyOther)).toBe('TPM_NAME_MISMATCH')
    } finally {
      await otherTpm.stop()
    }
  })
})
