import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import { TPM_CC_Unseal } from '@sealwright/tpm-wire'

import { type FrameProxy, startFrameProxy } from './fixtures/frame-proxy.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

const pin = new Secret(Uint8Array.from(Buffer.from('1234')))
const wrongPin = new Secret(Uint8Array.from(Buffer.from('1235')))

let folder: TemporaryFolder
let swtpm: Swtpm
let proxy: FrameProxy
let access: TpmAccess
let container: Uint8Array

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const path = folder.join('proxy.sock')
  proxy = await startFrameProxy(path, swtpm.socketPath)
  access = { transport: { kind: 'unix', path }, timeoutMs: 10_000, randomBytes }
  const kek = new Secret(Uint8Array.from(randomBytes(32)))
  container = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' }, pin }, kek)
})

afterEach(async () => {
  const { transientHandles, sessionHandles } = await readTpmStatus(access)
  await proxy.close()
  await swtpm.stop()
  await folder.remove()
  expect([...transientHandles, ...sessionHandles]).toEqual([])
})

describe('a key sealed with a PIN', () => {
  it('asks for the PIN before it asks the TPM', async () => {
    const before = proxy.recorded.length
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_PIN_REQUIRED', kind: 'operator' })
    expect(proxy.recorded.length).toBe(before)
  })

  it('is refused with a wrong PIN, which is tried and counted exactly once', async () => {
    // The first use of such an object after a start makes the TPM answer "retry": take that out of the way.
    await unsealKek(access, container, { pin })
    const before = proxy.countOf(TPM_CC_Unseal)
    await expect(unsealKek(access, container, { pin: wrongPin })).rejects.toMatchObject({
      code: 'TPM_PIN_WRONG',
      kind: 'operator',
    })
    expect(proxy.countOf(TPM_CC_Unseal) - before).toBe(1)
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 1 })
    await expect(unsealKek(access, container, { pin })).resolves.toBeInstanceOf(Secret)
  })

  it('is refused in lockout even with the right PIN, and says so', async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(unsealKek(access, container, { pin: wrongPin })).rejects.toMatchObject({ code: 'TPM_PIN_WRONG' })
    }
    await expect(unsealKek(access, container, { pin })).rejects.toMatchObject({
      code: 'TPM_LOCKOUT',
      kind: 'operator',
      rc: 0x921,
      message: expect.stringContaining('lockout') as string,
    })
    await expect(readTpmStatus(access)).resolves.toMatchObject({ inLockout: true, lockoutCounter: 3 })
  })

  it('never shows the PIN, its hash or the key on the wire', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const fresh = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' }, pin }, kek)
    await unsealKek(access, fresh, { pin })
    const traffic = Buffer.concat(proxy.recorded)
    kek.reveal(bytes => {
      expect(traffic.includes(Buffer.from(bytes))).toBe(false)
      expect(traffic.includes(Buffer.from(bytes).toString('hex'))).toBe(false)
    })
    pin.reveal(bytes => {
      expect(traffic.includes(Buffer.from(bytes))).toBe(false)
    })
  })
})
