import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type TpmAccess } from './operation.ts'
import { type RemoteTpm, sealKekForRemote } from './seal.ts'
import { tpmSealMember } from './seal-member.ts'
import { decodeSealedKek } from './sealed-kek.ts'
import { readPcrs, readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

let folders: TemporaryFolder[]
let tpms: Swtpm[]
let here: TpmAccess
let elsewhere: TpmAccess
let remote: RemoteTpm
const kek = new Secret(Uint8Array.from(randomBytes(32)))
const pin = new Secret(Uint8Array.from(Buffer.from('1234')))

function accessTo({ socketPath }: Swtpm): TpmAccess {
  return { transport: { kind: 'unix', path: socketPath }, timeoutMs: 10_000, randomBytes }
}

beforeAll(async () => {
  folders = [await temporaryFolder(), await temporaryFolder()]
  tpms = await Promise.all(folders.map(({ path }) => startSwtpm({ directory: path })))
  const [one, other] = tpms
  if (one === undefined || other === undefined) throw new Error('two TPMs were started')
  here = accessTo(one)
  elsewhere = accessTo(other)
  remote = await readTpmIdentity(here)
})

afterAll(async () => {
  for (const tpm of tpms) await tpm.stop()
  for (const folder of folders) await folder.remove()
})

afterEach(async () => {
  for (const access of [here, elsewhere]) {
    const { transientHandles, sessionHandles } = await readTpmStatus(access)
    expect([...transientHandles, ...sessionHandles]).toEqual([])
  }
})

describe('a key sealed for a TPM that is not there', () => {
  it('opens in that TPM, and again after a power cycle', async () => {
    const container = sealKekForRemote(remote, { policy: { kind: 'none' } }, kek, randomBytes)
    expect((await unsealKek(here, container)).equals(kek)).toBe(true)
    await tpms[0]?.powerCycle()
    expect((await unsealKek(here, container)).equals(kek)).toBe(true)
  })

  it('opens in no other TPM, even if it claims to be for that one', async () => {
    const container = sealKekForRemote(remote, { policy: { kind: 'none' } }, kek, randomBytes)
    await expect(unsealKek(elsewhere, container)).rejects.toMatchObject({ code: 'TPM_REPLACED' })
    const { storageKeyName } = await readTpmIdentity(elsewhere)
    const relabelled = Uint8Array.from(container)
    relabelled.set(storageKeyName, 6)
    expect(decodeSealedKek(relabelled).storageKeyName).toEqual(storageKeyName)
    await expect(unsealKek(elsewhere, relabelled)).rejects.toMatchObject({ code: 'TPM_BLOB_CORRUPT' })
  })

  it('keeps its PIN and its PCRs', async () => {
    const pcrValues = await readPcrs(here, [0, 7])
    const policy = { kind: 'pcr', pcrs: [0, 7] } as const
    const container = sealKekForRemote(remote, { policy, pcrValues, pin }, kek, randomBytes)
    expect((await unsealKek(here, container, { pin })).equals(kek)).toBe(true)
    const wrong = new Secret(Uint8Array.of(1))
    await expect(unsealKek(here, container, { pin: wrong })).rejects.toMatchObject({ code: 'TPM_PIN_WRONG' })
    const otherValues = pcrValues.map(({ index }) => ({ index, value: new Uint8Array(32).fill(index + 1) }))
    const drifted = sealKekForRemote(remote, { policy, pcrValues: otherValues, pin }, kek, randomBytes)
    await expect(unsealKek(here, drifted, { pin })).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      drift: [{ index: 0 }, { index: 7 }],
    })
  })

  it('cannot be made with PCR values of other PCRs than the policy has', () => {
    const policy = { kind: 'pcr', pcrs: [7] } as const
    expect(() => sealKekForRemote(remote, { policy }, kek, randomBytes)).toThrow(
      expect.objectContaining({ code: 'TPM_INVALID_ARGUMENT' }) as Error,
    )
  })

  it('cannot be made for a key that stores nothing', () => {
    const notStorage: RemoteTpm = { ...remote, storageKey: { ...remote.storageKey, attributes: 0 } }
    expect(() => sealKekForRemote(notStorage, { policy: { kind: 'none' } }, kek, randomBytes)).toThrow(
      expect.objectContaining({ code: 'TPM_INVALID_ARGUMENT' }) as Error,
    )
  })

  it('opens through the member of that TPM', async () => {
    const container = sealKekForRemote(remote, { policy: { kind: 'none' } }, kek, randomBytes)
    const expected = await readTpmIdentity(here)
    const member = tpmSealMember({ ...here, expected, policy: { kind: 'none' }, acceptImported: true })
    const { signal } = new AbortController()
    expect((await member.unsealKek(container, { signal, method: 'tpm-imported' })).equals(kek)).toBe(true)
  })
})
