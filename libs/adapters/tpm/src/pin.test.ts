import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import { TPM_CC_GetCapability, TPM_CC_Load, TPM_CC_Unseal, TPM_RC_LOCKOUT, TPM_RC_RETRY } from '@sealwright/tpm-wire'

import { TpmError } from './errors.ts'
import {
  type FrameProxy,
  type Interceptor,
  bareResponse,
  commandCodeOf,
  startFrameProxy,
} from './fixtures/frame-proxy.ts'
import { type Tpm2Tools, tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

const pin = new Secret(Uint8Array.from(Buffer.from('1234')))
/** How many wrong tries swtpm allows (TPM_PT_MAX_AUTH_FAIL). */
const MAX_AUTH_FAIL = 3
const wrongPin = new Secret(Uint8Array.from(Buffer.from('1235')))

let folder: TemporaryFolder
let swtpm: Swtpm
let proxy: FrameProxy
let tools: Tpm2Tools
let access: TpmAccess
let container: Uint8Array

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  tools = tpm2Tools(swtpm.socketPath, folder.path)
  const path = folder.join('proxy.sock')
  proxy = await startFrameProxy(path, swtpm.socketPath)
  access = { transport: { kind: 'unix', path }, timeoutMs: 10_000, randomBytes }
  const kek = new Secret(Uint8Array.from(randomBytes(32)))
  container = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' }, pin }, kek)
})

afterEach(async () => {
  proxy.intercept = undefined
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

  it('is refused in lockout even with the right PIN, which is not sent then, and says so', async () => {
    await makeWrongTries(MAX_AUTH_FAIL)
    const before = proxy.countOf(TPM_CC_Unseal)
    await expect(unsealKek(access, container, { pin })).rejects.toMatchObject({
      code: 'TPM_LOCKOUT',
      kind: 'operator',
      message: expect.stringContaining('lockout') as string,
    })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(before)
    await expect(readTpmStatus(access)).resolves.toMatchObject({ inLockout: true, lockoutCounter: MAX_AUTH_FAIL })
  })

  it('is refused with the words of the TPM when it goes into lockout after it was asked', async () => {
    proxy.intercept = (command, forward) =>
      commandCodeOf(command) === TPM_CC_Unseal ? bareResponse(TPM_RC_LOCKOUT) : forward()
    await expect(unsealKek(access, container, { pin })).rejects.toMatchObject({ code: 'TPM_LOCKOUT', rc: 0x921 })
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

describe('a PIN that was sent, and of which nobody knows what became', () => {
  const unknown = {
    code: 'TPM_PIN_UNKNOWN',
    kind: 'operator',
    message: expect.stringMatching(/may have counted it.*lockout counter.*SIGHUP/) as string,
  }

  /** Runs `answer` instead of the TPM's answer to TPM2_Unseal. */
  const onUnseal = (answer: Interceptor): void => {
    proxy.intercept = (command, forward) =>
      commandCodeOf(command) === TPM_CC_Unseal ? answer(command, forward) : forward()
  }

  it('is reported as such, and not as a timeout, when the answer comes too late', async () => {
    onUnseal(() => new Promise(() => undefined))
    await expect(unsealKek({ ...access, timeoutMs: 500 }, container, { pin: wrongPin })).rejects.toMatchObject(unknown)
  })

  it('is reported as such when the connection breaks after the TPM has counted it', async () => {
    // The first use of such an object after a start makes the TPM answer "retry": take that out of the way.
    await unsealKek(access, container, { pin })
    onUnseal(async (_, forward): Promise<'cut'> => {
      await forward()
      return 'cut'
    })
    await expect(unsealKek(access, container, { pin: wrongPin })).rejects.toMatchObject(unknown)
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 1 })
  })

  it('is reported as such when the caller gives up meanwhile, and as a cancellation when it was not sent yet', async () => {
    const controller = new AbortController()
    onUnseal(async (_, forward) => {
      const response = await forward()
      controller.abort()
      return response
    })
    await expect(unsealKek(access, container, { pin: wrongPin }, controller)).rejects.toMatchObject(unknown)
    await expect(unsealKek(access, container, { pin }, controller)).rejects.toMatchObject({ code: 'TPM_CANCELLED' })
  })

  it('is a timeout when time was up before it was sent', async () => {
    proxy.intercept = (command, forward) =>
      commandCodeOf(command) === TPM_CC_Load ? new Promise(() => undefined) : forward()
    await expect(unsealKek({ ...access, timeoutMs: 500 }, container, { pin })).rejects.toMatchObject({
      code: 'TPM_TIMEOUT',
      kind: 'transient',
    })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(0)
  })

  it.each<[string, Interceptor]>([
    [
      'its HMAC is wrong',
      async (_, forward) => {
        const response = await forward()
        response[response.length - 1] = (response[response.length - 1] ?? 0) ^ 1
        return response
      },
    ],
    ['it is no response of a TPM', () => Buffer.from('80010000000500000000', 'hex')],
    ['it has no session', () => bareResponse(0)],
    ['it is a code that says nothing about a PIN', () => bareResponse(0x101)],
    ['it says that there is no space', () => bareResponse(0x902)],
  ])('is reported as such, and sent once, when the answer cannot be used: %s', async (_, answer) => {
    onUnseal(answer)
    await expect(unsealKek(access, container, { pin })).rejects.toMatchObject(unknown)
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(1)
  })

  it('is no matter of a TPM that was busy, since it did not look at the PIN', async () => {
    onUnseal(() => bareResponse(TPM_RC_RETRY))
    await expect(unsealKek({ ...access, timeoutMs: 500 }, container, { pin })).rejects.toMatchObject({
      code: 'TPM_BUSY',
      kind: 'transient',
    })
  })
})

describe('a PIN when the TPM counts failed tries', () => {
  it('is still sent while a wrong one would not lead to lockout: one power cut does not close a node', async () => {
    await makeWrongTries(MAX_AUTH_FAIL - 2)
    await expect(unsealKek(access, container, { pin })).resolves.toBeInstanceOf(Secret)
  })

  it('is held back when one more would lead to lockout, however often it is asked for, and sent once the counter is down', async () => {
    await makeWrongTries(MAX_AUTH_FAIL - 1)
    for (let asked = 0; asked < 3; asked++) {
      await expect(unsealKek(access, container, { pin: wrongPin })).rejects.toMatchObject({
        code: 'TPM_PIN_HELD_BACK',
        kind: 'transient',
        message: expect.stringMatching(/counts 2 failed tries .* at 3\..*dictionarylockout.*every 1000 s/) as string,
      })
    }
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(0)
    await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: 2, inLockout: false })
    await tools('dictionarylockout', '--clear-lockout')
    await expect(unsealKek(access, container, { pin })).resolves.toBeInstanceOf(Secret)
  })

  it('never reaches lockout by wrong tries of ours, not even with two keys in one TPM', async () => {
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const other = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' }, pin }, kek)
    const codes: unknown[] = []
    for (const sealed of [container, other, container, other]) {
      const error: unknown = await unsealKek(access, sealed, { pin: wrongPin }).catch((reason: unknown) => reason)
      codes.push(error instanceof TpmError ? error.code : error)
    }
    expect(codes).toEqual(['TPM_PIN_WRONG', 'TPM_PIN_WRONG', 'TPM_PIN_HELD_BACK', 'TPM_PIN_HELD_BACK'])
    await expect(readTpmStatus(access)).resolves.toMatchObject({ inLockout: false })
  })

  it('is sent although there is no try to spare, where the TPM allows a single one and none has failed', async () => {
    await tools(
      'dictionarylockout',
      '--setup-parameters',
      '--max-tries=1',
      '--recovery-time=1000',
      '--lockout-recovery-time=1000',
    )
    await expect(unsealKek(access, container, { pin })).resolves.toBeInstanceOf(Secret)
  })

  it('is not sent when somebody on the bus talks the counter down', async () => {
    await makeWrongTries(MAX_AUTH_FAIL - 1)
    proxy.intercept = async (command, forward) => {
      const response = await forward()
      // header (10) ‖ parameter size (4) ‖ moreData (1) ‖ capability (4) ‖ count (4) ‖ tag (4) ‖ value (4)
      if (commandCodeOf(command) === TPM_CC_GetCapability && response[1] === 0x02) response[34] = 0
      return response
    }
    await expect(unsealKek(access, container, { pin })).rejects.toMatchObject({ code: 'TPM_RESPONSE_FORGED' })
    expect(proxy.countOf(TPM_CC_Unseal)).toBe(0)
  })

  it('is not asked about where there is no PIN', async () => {
    await makeWrongTries(MAX_AUTH_FAIL)
    const kek = new Secret(Uint8Array.from(randomBytes(32)))
    const open = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' } }, kek)
    const before = proxy.countOf(TPM_CC_GetCapability)
    await expect(unsealKek(access, open)).resolves.toBeInstanceOf(Secret)
    expect(proxy.countOf(TPM_CC_GetCapability)).toBe(before)
  })
})

/** Wrong tries of somebody else, at an NV index that the TPM counts as it counts a key with a PIN. */
async function makeWrongTries(count: number): Promise<void> {
  const index = '0x1500016'
  await tools('nvdefine', index, '-C', 'o', '-s', '8', '-p', 'right', '-a', 'authread|authwrite')
  for (let tried = 1; tried <= count; tried++) {
    await expect(tools('nvread', index, '-C', index, '-P', 'wrong')).rejects.toThrow('tpm2_nvread')
  }
  await expect(readTpmStatus(access)).resolves.toMatchObject({ lockoutCounter: count })
}
