import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type Tpm2Tools, tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { type SealPolicy } from './seal-policy.ts'
import { decodeSealedKek } from './sealed-kek.ts'
import { getRandom, readPcrs, readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

const NO_POLICY: SealPolicy = { kind: 'none' }
const PIN = new Secret(Uint8Array.from(Buffer.from('correct horse')))

let folder: TemporaryFolder
let swtpm: Swtpm
let tools: Tpm2Tools
let access: TpmAccess
let kek: Secret

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  tools = tpm2Tools(swtpm.socketPath, folder.path)
  access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
  kek = new Secret(Uint8Array.from(randomBytes(32)))
})

afterEach(async () => {
  const { transientHandles, sessionHandles } = await readTpmStatus(access)
  await swtpm.stop()
  await folder.remove()
  expect({ transientHandles, sessionHandles }).toEqual({ transientHandles: [], sessionHandles: [] })
})

async function seal(policy: SealPolicy = NO_POLICY, pin?: Secret): Promise<Uint8Array> {
  return sealKek(access, await readTpmIdentity(access), pin === undefined ? { policy } : { policy, pin }, kek)
}

describe('a sealed key', () => {
  it.each<[string, SealPolicy, Secret | undefined]>([
    ['no condition', NO_POLICY, undefined],
    ['a PIN', NO_POLICY, PIN],
    ['one PCR', { kind: 'pcr', pcrs: [7] }, undefined],
    ['more PCRs than one answer holds', { kind: 'pcr', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14] }, undefined],
    ['PCRs and a PIN', { kind: 'pcr', pcrs: [0, 7] }, PIN],
  ])('opens with %s', async (_, policy, pin) => {
    const opened = await unsealKek(access, await seal(policy, pin), { pin: PIN })
    expect(opened.equals(kek)).toBe(true)
  })

  it('carries the attributes that its conditions demand', async () => {
    const attributesOf = async (policy: SealPolicy, pin?: Secret) =>
      Buffer.from(decodeSealedKek(await seal(policy, pin)).object.publicArea).readUInt32BE(4)
    // fixedTPM and fixedParent always; userWithAuth only without policy; noDA only without PIN
    expect(await attributesOf(NO_POLICY)).toBe(0x452)
    expect(await attributesOf({ kind: 'pcr', pcrs: [7] })).toBe(0x412)
    expect(await attributesOf(NO_POLICY, PIN)).toBe(0x012)
    expect(await attributesOf({ kind: 'pcr', pcrs: [7] }, PIN)).toBe(0x012)
  })

  it('opens after a power cycle', async () => {
    const container = await seal()
    await swtpm.powerCycle()
    expect((await unsealKek(access, container)).equals(kek)).toBe(true)
  })

  it('opens after ten power cuts in a row, and the TPM counts none of them', async () => {
    const container = await seal()
    for (let cut = 0; cut < 10; cut++) {
      await unsealKek(access, container)
      await swtpm.powerCycle()
    }
    expect((await unsealKek(access, container)).equals(kek)).toBe(true)
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 0, inLockout: false })
  })

  it('is refused by a TPM that was cleared', async () => {
    const container = await seal()
    await tools('clear', '-c', 'p')
    await expect(unsealKek(access, container)).rejects.toMatchObject({
      code: 'TPM_CLEARED',
      kind: 'permanent',
      message: expect.stringContaining('was cleared since sealing') as string,
    })
  })

  it('is refused by another TPM', async () => {
    const container = await seal()
    await swtpm.replace()
    await expect(unsealKek(access, container)).rejects.toMatchObject({
      code: 'TPM_REPLACED',
      kind: 'permanent',
      message: expect.stringContaining('another TPM') as string,
    })
  })

  it('says that it cannot tell a cleared TPM from another one without an endorsement key', async () => {
    const container = await seal()
    await tools('clear', '-c', 'p')
    await tools('changeauth', '-c', 'e', 'endorsement')
    await expect(unsealKek(access, container)).rejects.toMatchObject({
      code: 'TPM_REPLACED',
      message: expect.stringContaining('cleared or replaced') as string,
    })
  })

  it('is refused by its TPM when a bit of it was flipped', async () => {
    const container = await seal()
    const flipped = Uint8Array.from(container)
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
    await expect(unsealKek(access, flipped)).rejects.toMatchObject({
      code: 'TPM_BLOB_CORRUPT',
      kind: 'permanent',
      rc: 0x1df,
      message: expect.stringContaining('was changed since it was made') as string,
    })
  })

  it('names the PCRs that drifted, and only those', async () => {
    const container = await seal({ kind: 'pcr', pcrs: [0, 4, 7, 14] })
    await tools('pcrextend', `7:sha256=${'11'.repeat(32)}`)
    await tools('pcrextend', `14:sha256=${'22'.repeat(32)}`)
    const [, , seven] = await readPcrs(access, [0, 4, 7, 14])
    await expect(unsealKek(access, container)).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      kind: 'permanent',
      message: expect.stringMatching(/PCR 7, 14 changed since sealing.*run bootstrap-init --reseal/) as string,
      drift: [{ index: 7, expected: new Uint8Array(32), current: seven?.value }, { index: 14 }],
    })
  })

  it('takes PCR drift for the reason even where a PIN is demanded too, without counting a failure', async () => {
    const container = await seal({ kind: 'pcr', pcrs: [7] }, PIN)
    await tools('pcrextend', `7:sha256=${'11'.repeat(32)}`)
    await expect(unsealKek(access, container, { pin: PIN })).rejects.toMatchObject({ code: 'TPM_PCR_MISMATCH' })
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 0 })
  })

  it('is not even made by a TPM that is not the expected one', async () => {
    const identity = await readTpmIdentity(access)
    await swtpm.replace()
    await expect(sealKek(access, identity, { policy: NO_POLICY }, kek)).rejects.toMatchObject({ code: 'TPM_REPLACED' })
  })

  it('holds exactly a key', async () => {
    const identity = await readTpmIdentity(access)
    for (const length of [31, 33]) {
      const wrong = new Secret(new Uint8Array(length))
      await expect(sealKek(access, identity, { policy: NO_POLICY }, wrong)).rejects.toMatchObject({
        code: 'TPM_INVALID_ARGUMENT',
      })
    }
  })

  it.each([[[]], [[7, 7]], [[7, 0]], [[24]], [[-1]], [[0.5]]])('cannot be bound to PCRs %j', async pcrs => {
    await expect(seal({ kind: 'pcr', pcrs })).rejects.toMatchObject({ code: 'TPM_INVALID_ARGUMENT' })
  })
})

describe('the owner authorisation', () => {
  const ownerAuth = new Secret(Uint8Array.from(Buffer.from('owner')))

  it('is asked for, used without being sent, and a wrong one is named', async () => {
    const container = await seal()
    await tools('changeauth', '-c', 'o', 'owner')
    await expect(unsealKek(access, container)).rejects.toMatchObject({
      code: 'TPM_OWNER_AUTH',
      kind: 'operator',
      message: expect.stringContaining('configure it') as string,
    })
    const opened = await unsealKek({ ...access, ownerAuth }, container)
    expect(opened.equals(kek)).toBe(true)
    const wrong = new Secret(Uint8Array.from(Buffer.from('wrong')))
    await expect(unsealKek({ ...access, ownerAuth: wrong }, container)).rejects.toMatchObject({
      code: 'TPM_OWNER_AUTH',
      message: expect.stringContaining('refused') as string,
    })
  })
})

describe('reading from a TPM', () => {
  it('tells who it is and how it is', async () => {
    await expect(readTpmStatus(access)).resolves.toMatchObject({
      manufacturer: 'IBM',
      maxAuthFail: 3,
      lockoutCounter: 0,
      inLockout: false,
    })
  })

  it('gives PCRs as tpm2_pcrread shows them', async () => {
    await tools('pcrextend', `7:sha256=${'11'.repeat(32)}`)
    const [seven] = await readPcrs(access, [7])
    const shown = await tools('pcrread', 'sha256:7')
    expect(shown.toLowerCase()).toContain(Buffer.from(seven?.value ?? []).toString('hex'))
  })

  it('gives as many random bytes as asked for', async () => {
    const one = await getRandom(access, 100)
    const other = await getRandom(access, 100)
    expect(one.byteLength).toBe(100)
    expect(Buffer.compare(one, other)).not.toBe(0)
  })
})
