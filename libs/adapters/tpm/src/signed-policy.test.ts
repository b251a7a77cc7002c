import { type KeyObject, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type Tpm2Tools, tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { type SignedPcrPolicy, policySigner, signPcrPolicy } from './seal-policy.ts'
import { readPcrs, readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const policyRef = Uint8Array.from(Buffer.from('release 7'))
const pcrs = [7, 11]

let folder: TemporaryFolder
let swtpm: Swtpm
let tools: Tpm2Tools
let access: TpmAccess
const kek = new Secret(Uint8Array.from(randomBytes(32)))

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  tools = tpm2Tools(swtpm.socketPath, folder.path)
  access = { transport: { kind: 'unix', path: swtpm.socketPath }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  const { transientHandles, sessionHandles } = await readTpmStatus(access)
  await swtpm.stop()
  await folder.remove()
  expect([...transientHandles, ...sessionHandles]).toEqual([])
})

async function seal(pin?: Secret): Promise<Uint8Array> {
  const policy = { kind: 'authorized', signer: policySigner(publicKey), policyRef, pcrs } as const
  return sealKek(access, await readTpmIdentity(access), pin === undefined ? { policy } : { policy, pin }, kek)
}

async function approveCurrentPcrs(key: KeyObject = privateKey, reference = policyRef): Promise<SignedPcrPolicy> {
  return signPcrPolicy(key, await readPcrs(access, pcrs), reference)
}

describe('a key sealed to a signer of PCR policies', () => {
  it('opens across a change of PCRs once the new state is signed, without sealing anew', async () => {
    const container = await seal()
    const before = await approveCurrentPcrs()
    expect((await unsealKek(access, container, { signedPolicies: [before] })).equals(kek)).toBe(true)

    await tools('pcrextend', `11:sha256=${'11'.repeat(32)}`)
    await expect(unsealKek(access, container, { signedPolicies: [before] })).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      drift: [{ index: 11 }],
    })

    const after = await approveCurrentPcrs()
    expect((await unsealKek(access, container, { signedPolicies: [before, after] })).equals(kek)).toBe(true)
  })

  it('demands the PIN too when it was sealed with one', async () => {
    const pin = new Secret(Uint8Array.from(Buffer.from('1234')))
    const container = await seal(pin)
    const signedPolicies = [await approveCurrentPcrs()]
    expect((await unsealKek(access, container, { pin, signedPolicies })).equals(kek)).toBe(true)
    const wrong = new Secret(Uint8Array.of(1))
    await expect(unsealKek(access, container, { pin: wrong, signedPolicies })).rejects.toMatchObject({
      code: 'TPM_PIN_WRONG',
    })
  })

  it('does not open without a signed policy', async () => {
    const container = await seal()
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_PCR_MISMATCH', drift: [] })
  })

  it('does not open with a policy that another key signed', async () => {
    const container = await seal()
    const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const signedPolicies = [await approveCurrentPcrs(stranger.privateKey)]
    await expect(unsealKek(access, container, { signedPolicies })).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      message: expect.stringContaining('signed by another key') as string,
    })
  })

  it('does not open with a policy for another policyRef', async () => {
    const container = await seal()
    const signedPolicies = [await approveCurrentPcrs(privateKey, Uint8Array.from(Buffer.from('release 6')))]
    await expect(unsealKek(access, container, { signedPolicies })).rejects.toMatchObject({ code: 'TPM_PCR_MISMATCH' })
  })

  it('calls a signed policy that cannot be one an argument, not a fault of the TPM', async () => {
    const container = await seal()
    const good = await approveCurrentPcrs()
    for (const broken of [
      { ...good, pcrs: [11, 7] },
      { ...good, signature: good.signature.subarray(1) },
    ]) {
      await expect(unsealKek(access, container, { signedPolicies: [broken] })).rejects.toMatchObject({
        code: 'TPM_INVALID_ARGUMENT',
      })
    }
  })
})

describe('a signer', () => {
  it('must hold a P-256 key', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
    for (const pair of [rsa, p384]) {
      expect(() => policySigner(pair.publicKey)).toThrow(
        expect.objectContaining({ code: 'TPM_INVALID_ARGUMENT' }) as Error,
      )
      expect(() => signPcrPolicy(pair.privateKey, [], policyRef)).toThrow(
        expect.objectContaining({ code: 'TPM_INVALID_ARGUMENT' }) as Error,
      )
    }
  })

  it('is the same point in its private and its public form', () => {
    expect(policySigner(createPublicKey(privateKey))).toEqual(policySigner(publicKey))
  })
})
