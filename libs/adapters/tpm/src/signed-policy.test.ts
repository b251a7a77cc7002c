import { type KeyObject, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { predictPolicy, type SignedPolicy, signPolicy } from '@sealwright/pcr-policies'
import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, proxySocket, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'

import { type Tpm2Tools, tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { tpmRemoteMember, tpmWrappingKey } from './remote-member.ts'
import { sealKek } from './seal.ts'
import { policySigner } from './seal-policy.ts'
import { tpmSealMember } from './seal-member.ts'
import { readPcrs, readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const reference = 'release-7'
const policyRef = Uint8Array.from(Buffer.from(reference))
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

async function approveCurrentPcrs(key: KeyObject = privateKey, approved = reference): Promise<SignedPolicy> {
  const values = await readPcrs(access, pcrs)
  return signPolicy(predictPolicy({ label: 'now', reference: approved, values, createdAtMs: 0 }), key)
}

const extend = (pcr: number, byte: string): Promise<string> => tools('pcrextend', `${pcr}:sha256=${byte.repeat(32)}`)

describe('a key sealed to a signer of PCR policies', () => {
  it('opens across a change of PCRs once the new state is signed, without sealing anew', async () => {
    const container = await seal()
    const before = await approveCurrentPcrs()
    expect((await unsealKek(access, container, { policies: [before] })).equals(kek)).toBe(true)

    await extend(11, '11')
    await expect(unsealKek(access, container, { policies: [before] })).rejects.toMatchObject({
      code: 'TPM_STATE_UNAPPROVED',
      drift: [{ index: 11 }],
    })

    const after = await approveCurrentPcrs()
    expect((await unsealKek(access, container, { policies: [before, after] })).equals(kek)).toBe(true)
  })

  it('demands the PIN too when it was sealed with one', async () => {
    const pin = new Secret(Uint8Array.from(Buffer.from('1234')))
    const container = await seal(pin)
    const policies = [await approveCurrentPcrs()]
    expect((await unsealKek(access, container, { pin, policies })).equals(kek)).toBe(true)
    const wrong = new Secret(Uint8Array.of(1))
    await expect(unsealKek(access, container, { pin: wrong, policies })).rejects.toMatchObject({
      code: 'TPM_PIN_WRONG',
    })
  })

  it('does not open without a signed policy, nor by one that is only predicted', async () => {
    const container = await seal()
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_STATE_UNAPPROVED', drift: [] })
    const values = await readPcrs(access, pcrs)
    const policies = [predictPolicy({ label: 'now', reference, values, createdAtMs: 0 })]
    await expect(unsealKek(access, container, { policies })).rejects.toMatchObject({ code: 'TPM_STATE_UNAPPROVED' })
  })

  it('names the PCRs in which the machine differs from the nearest approved state', async () => {
    const container = await seal()
    const first = await approveCurrentPcrs()
    await extend(7, '22')
    const second = await approveCurrentPcrs()
    await extend(11, '33')
    const [, now] = await readPcrs(access, pcrs)
    await expect(unsealKek(access, container, { policies: [second, first] })).rejects.toMatchObject({
      code: 'TPM_STATE_UNAPPROVED',
      message: expect.stringContaining('from the nearest one, now, it differs in PCR 11;') as string,
      drift: [{ index: 11, expected: second.values[1]?.value, current: now?.value }],
    })
  })

  it('does not open with a policy that another key signed, nor with one that was changed', async () => {
    const container = await seal()
    const stranger = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const good = await approveCurrentPcrs()
    const flipped = Uint8Array.from(good.signature)
    flipped[40] = (flipped[40] ?? 0) ^ 1
    for (const forged of [await approveCurrentPcrs(stranger.privateKey), { ...good, signature: flipped }]) {
      await expect(unsealKek(access, container, { policies: [forged] })).rejects.toMatchObject({
        code: 'TPM_POLICY_UNSIGNED',
        message: expect.stringContaining('signed by another key') as string,
      })
    }
  })

  it('opens by the good one of two policies for one state, wherever the forged one stands', async () => {
    const container = await seal()
    const good = await approveCurrentPcrs()
    const forged = { ...good, signature: new Uint8Array(64).fill(1) }
    for (const policies of [
      [forged, good],
      [good, forged],
    ]) {
      expect((await unsealKek(access, container, { policies })).equals(kek)).toBe(true)
    }
  })

  it('does not open with a policy for another reference', async () => {
    const container = await seal()
    const policies = [await approveCurrentPcrs(privateKey, 'release-6')]
    await expect(unsealKek(access, container, { policies })).rejects.toMatchObject({
      code: 'TPM_POLICY_OTHER_REFERENCE',
      message: expect.stringContaining('approved for the reference release-6') as string,
    })
  })

  it('is refused by the TPM itself when somebody on the bus lies about the PCRs', async () => {
    const container = await seal()
    const policies = [await approveCurrentPcrs()]
    const [before] = await readPcrs(access, [7])
    await extend(7, '44')
    const [after] = await readPcrs(access, [7])
    const listenPath = join(folder.path, 'liar.sock')
    let lies = 0
    await using proxy = await proxySocket({
      listenPath,
      targetPath: swtpm.socketPath,
      onServerData: bytes => {
        const at = Buffer.from(bytes).indexOf(after?.value ?? new Uint8Array(32))
        if (at === -1) return bytes
        lies += 1
        const altered = Uint8Array.from(bytes)
        altered.set(before?.value ?? [], at)
        return altered
      },
    })
    const fooled: TpmAccess = { ...access, transport: { kind: 'unix', path: listenPath } }
    await expect(unsealKek(fooled, container, { policies })).rejects.toMatchObject({
      code: 'TPM_PCR_MISMATCH',
      message: expect.stringContaining('changed just now') as string,
    })
    expect(lies).toBe(1)
    await proxy.close()
  })
})

describe('a TPM as a member of a seal that is bound to a signer', () => {
  const { signal } = new AbortController()

  it('reads the approved policies at each opening', async () => {
    const policies: SignedPolicy[] = []
    const member = tpmSealMember({
      ...access,
      expected: await readTpmIdentity(access),
      policy: { kind: 'authorized', signer: policySigner(publicKey), policyRef, pcrs: [] },
      readPolicies: () => Promise.resolve(policies),
    })
    const container = await member.sealKek(kek, { signal })
    const open = () => member.unsealKek(container, { signal, method: 'tpm-sealed' })
    await expect(open()).rejects.toMatchObject({ code: 'TPM_STATE_UNAPPROVED' })
    policies.push(await approveCurrentPcrs())
    expect((await open()).equals(kek)).toBe(true)
  })

  it('opens what was sealed under weaker conditions only when it is told to seal it anew', async () => {
    const expected = await readTpmIdentity(access)
    const weak = tpmSealMember({ ...access, expected, policy: { kind: 'none' } })
    const container = await weak.sealKek(kek, { signal })
    const policy = { kind: 'authorized', signer: policySigner(publicKey), policyRef, pcrs: [] } as const
    const open = (acceptWeaker: boolean) =>
      tpmSealMember({ ...access, expected, policy, acceptWeaker }).unsealKek(container, {
        signal,
        method: 'tpm-sealed',
      })
    await expect(open(false)).rejects.toMatchObject({ code: 'TPM_POLICY_WEAKER' })
    expect((await open(true)).equals(kek)).toBe(true)
  })
})

describe('a key that another node sealed for this TPM', () => {
  it('opens under the policies of the signer and reference of the key before it', async () => {
    const { signal } = new AbortController()
    const identity = await readTpmIdentity(access)
    const policy = { kind: 'authorized', signer: policySigner(publicKey), policyRef, pcrs: [] } as const
    const like = await sealKek(access, identity, { policy }, kek)
    const remote = tpmRemoteMember({ wrappingKey: tpmWrappingKey(identity), like, randomBytes })
    const container = await remote.sealKek(kek, { signal })
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_STATE_UNAPPROVED' })
    const policies = [await approveCurrentPcrs()]
    expect((await unsealKek(access, container, { policies })).equals(kek)).toBe(true)
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
    }
  })

  it('is the same point in its private and its public form', () => {
    expect(policySigner(createPublicKey(privateKey))).toEqual(policySigner(publicKey))
  })
})
