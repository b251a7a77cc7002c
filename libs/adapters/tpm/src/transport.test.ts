import { randomBytes } from 'node:crypto'
import { type AddressInfo, createServer } from 'node:net'

import { Secret } from '@sealwright/secret'
import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import {
  TPM_CC_CreatePrimary,
  TPM_CC_FlushContext,
  TPM_CC_Load,
  TPM_CC_Unseal,
  TPM_RC_OBJECT_MEMORY,
} from '@sealwright/tpm-wire'

import { type FrameProxy, bareResponse, commandCodeOf, startFrameProxy } from './fixtures/frame-proxy.ts'
import { tpm2Tools } from './fixtures/tpm2-tools.ts'
import { type TpmAccess } from './operation.ts'
import { sealKek } from './seal.ts'
import { getRandom, readTpmIdentity, readTpmStatus } from './status.ts'
import { unsealKek } from './unseal.ts'

let folder: TemporaryFolder
let swtpm: Swtpm
let proxy: FrameProxy
let access: TpmAccess
let kek: Secret
let container: Uint8Array

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const path = folder.join('proxy.sock')
  proxy = await startFrameProxy(path, swtpm.socketPath)
  access = { transport: { kind: 'unix', path }, timeoutMs: 10_000, randomBytes }
  kek = new Secret(Uint8Array.from(randomBytes(32)))
  container = await sealKek(access, await readTpmIdentity(access), { policy: { kind: 'none' } }, kek)
})

afterEach(async () => {
  proxy.intercept = undefined
  if (swtpm.pid === undefined) await swtpm.start()
  const { transientHandles, sessionHandles } = await readTpmStatus(access)
  await proxy.close()
  await swtpm.stop()
  await folder.remove()
  expect([...transientHandles, ...sessionHandles]).toEqual([])
})

async function expectOpens(): Promise<void> {
  const opened = await unsealKek(access, container)
  expect(opened.equals(kek)).toBe(true)
}

describe('a busy TPM', () => {
  it.each([
    ['TPM_RC_RETRY', 0x922],
    ['TPM_RC_YIELDED', 0x908],
    ['TPM_RC_TESTING', 0x90a],
    ['TPM_RC_NV_RATE', 0x920],
  ])('is asked again with the same bytes after %s', async (_, rc) => {
    const sent: string[] = []
    proxy.intercept = (command, forward) => {
      if (commandCodeOf(command) !== TPM_CC_Unseal) return forward()
      sent.push(Buffer.from(command).toString('hex'))
      return sent.length < 4 ? bareResponse(rc) : forward()
    }
    await expectOpens()
    expect(sent.length).toBe(4)
    expect(new Set(sent).size).toBe(1)
  })

  it('that stays busy is given up, with a code of its own', async () => {
    proxy.intercept = (command, forward) => (commandCodeOf(command) === TPM_CC_Load ? bareResponse(0x922) : forward())
    await expect(unsealKek({ ...access, timeoutMs: 300 }, container)).rejects.toMatchObject({
      code: 'TPM_BUSY',
      kind: 'transient',
      rc: 0x922,
    })
    proxy.intercept = undefined
    await expectOpens()
  })

  it('stops being asked when the caller gives up', async () => {
    const controller = new AbortController()
    proxy.intercept = (command, forward) => {
      if (commandCodeOf(command) !== TPM_CC_Load) return forward()
      controller.abort()
      return bareResponse(0x922)
    }
    await expect(unsealKek(access, container, {}, { signal: controller.signal })).rejects.toMatchObject({
      code: 'TPM_CANCELLED',
    })
  })
})

describe('a TPM that goes away', () => {
  it.each([
    ['CreatePrimary', TPM_CC_CreatePrimary],
    ['Load', TPM_CC_Load],
    ['Unseal', TPM_CC_Unseal],
  ])('in the middle of %s is named, and works again once it is back', async (_, commandCode) => {
    proxy.intercept = async (command, forward) => {
      if (commandCodeOf(command) !== commandCode) return forward()
      await swtpm.kill()
      return 'cut'
    }
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_GONE', kind: 'transient' })
    proxy.intercept = undefined
    await swtpm.start()
    await expectOpens()
  })

  it('is unreachable while it is away', async () => {
    await swtpm.stop()
    const direct: TpmAccess = { ...access, transport: { kind: 'unix', path: swtpm.socketPath } }
    await expect(unsealKek(direct, container)).rejects.toMatchObject({ code: 'TPM_UNREACHABLE', kind: 'transient' })
    await swtpm.start()
    expect((await unsealKek(direct, container)).equals(kek)).toBe(true)
  })
})

describe('a connection that is cut after the TPM has done its work', () => {
  it.each([
    ['CreatePrimary', TPM_CC_CreatePrimary],
    ['Load', TPM_CC_Load],
  ])('leaves nothing behind for longer than until the next operation: %s', async (_, commandCode) => {
    proxy.intercept = async (command, forward) => {
      const response = await forward()
      return commandCodeOf(command) === commandCode ? 'cut' : response
    }
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_GONE' })
    }
    proxy.intercept = undefined
    await expectOpens()
  })

  it('does not matter to an operation that has its result', async () => {
    proxy.intercept = (command, forward) => (commandCodeOf(command) === TPM_CC_FlushContext ? 'cut' : forward())
    await expectOpens()
  })
})

describe('slots of a TPM that nobody manages', () => {
  it('are freed when a killed process has left them taken', async () => {
    const tools = tpm2Tools(swtpm.socketPath, folder.path)
    for (const name of ['one', 'two', 'three']) await tools('createprimary', '-c', name, '-G', 'ecc')
    await expectOpens()
  })

  it('that stay taken are named', async () => {
    proxy.intercept = (command, forward) =>
      commandCodeOf(command) === TPM_CC_CreatePrimary ? bareResponse(TPM_RC_OBJECT_MEMORY) : forward()
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_NO_SPACE', kind: 'transient' })
  })
})

describe('limits', () => {
  it('end the waiting for a silent TPM, and a timeout is no cancellation', async () => {
    proxy.intercept = () => new Promise(() => undefined)
    await expect(unsealKek({ ...access, timeoutMs: 50 }, container)).rejects.toMatchObject({ code: 'TPM_TIMEOUT' })
    const controller = new AbortController()
    const waiting = unsealKek(access, container, {}, { signal: controller.signal })
    controller.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'TPM_CANCELLED' })
  })

  it('are kept while another operation on the same TPM goes on', async () => {
    let answer: () => void = () => undefined
    const held = new Promise<void>(resolve => {
      answer = resolve
    })
    proxy.intercept = async (_, forward) => {
      await held
      return forward()
    }
    const first = unsealKek(access, container)
    await expect(unsealKek({ ...access, timeoutMs: 50 }, container)).rejects.toMatchObject({ code: 'TPM_TIMEOUT' })
    const third = unsealKek(access, container)
    answer()
    expect((await first).equals(kek)).toBe(true)
    expect((await third).equals(kek)).toBe(true)
  })

  it('must make sense', async () => {
    for (const timeoutMs of [0, -1, NaN, Infinity]) {
      await expect(unsealKek({ ...access, timeoutMs }, container)).rejects.toMatchObject({
        code: 'TPM_INVALID_ARGUMENT',
      })
    }
  })

  it('do not start anything for a caller who has given up before', async () => {
    const before = proxy.recorded.length
    const options = { signal: AbortSignal.abort() }
    await expect(unsealKek(access, container, {}, options)).rejects.toMatchObject({ code: 'TPM_CANCELLED' })
    expect(proxy.recorded.length).toBe(before)
  })
})

describe('what is not a TPM', () => {
  it.each([
    ['shorter than a header', '00'.repeat(4) + '00000005' + '00000000'],
    ['longer than a frame may be', '8001' + '00001001' + '00000000'],
    ['without the session it must have', '8001' + '0000000a' + '00000000'],
    ['followed by more bytes', '8001' + '0000000a' + '00000922' + '00'],
  ])('is refused for an answer %s', async (_, hex) => {
    proxy.intercept = () => Buffer.from(hex, 'hex')
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_PROTOCOL', kind: 'transient' })
  })
})

describe('changed answers', () => {
  it.each([
    ['the HMAC', -1],
    ['the encrypted data', 20],
    ['the nonce', 14 + 2 + 32 + 5],
  ])('of TPM2_Unseal are refused before anything is decrypted: %s', async (_, position) => {
    proxy.intercept = async (command, forward) => {
      const response = await forward()
      if (commandCodeOf(command) !== TPM_CC_Unseal) return response
      const index = position < 0 ? response.length + position : position
      response[index] = (response[index] ?? 0) ^ 0x01
      return response
    }
    await expect(unsealKek(access, container)).rejects.toMatchObject({ code: 'TPM_RESPONSE_FORGED', kind: 'transient' })
  })

  it('in any bit of what TPM2_Unseal says never give another key', async () => {
    let bit = 0
    let lengthBits = 1
    proxy.intercept = async (command, forward) => {
      const response = await forward()
      if (commandCodeOf(command) !== TPM_CC_Unseal) return response
      lengthBits = response.length * 8
      // Bits of the size field would only make us wait for bytes that do not come: those are for the limits above.
      response[bit >> 3] = (response[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return response
    }
    for (bit = 0; bit < lengthBits; bit++) {
      if (bit >= 16 && bit < 48) continue
      const error: unknown = await unsealKek(access, container).then(
        () => 'opened',
        (reason: unknown) => reason,
      )
      expect(error).toMatchObject({
        code: expect.stringMatching(/^TPM_(RESPONSE_FORGED|PROTOCOL|RC|BUSY|LOCKOUT|NO_SPACE)$/) as string,
      })
    }
  })
})

describe('the wire', () => {
  it('carries the key neither in raw nor in hex', async () => {
    await expectOpens()
    const traffic = Buffer.concat(proxy.recorded)
    expect(proxy.countOf(TPM_CC_Unseal)).toBeGreaterThan(0)
    kek.reveal(bytes => {
      expect(traffic.includes(Buffer.from(bytes))).toBe(false)
      expect(traffic.includes(Buffer.from(bytes).toString('hex'))).toBe(false)
      expect(traffic.includes(Buffer.from(bytes).toString('base64'))).toBe(false)
    })
  })

  it('is used by one operation at a time', async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => unsealKek(access, container)))
    expect(opened.every(secret => secret.equals(kek))).toBe(true)
  })
})

describe('TCP', () => {
  it('works like a Unix socket', async () => {
    await using tcpFolder = await temporaryFolder()
    const tcpTpm = await startSwtpm({ directory: tcpFolder.path, tcp: true })
    try {
      const transport = { kind: 'tcp', host: '127.0.0.1', port: tcpTpm.tcpPort ?? 0 } as const
      await expect(getRandom({ ...access, transport }, 8)).resolves.toHaveLength(8)
    } finally {
      await tcpTpm.stop()
    }
  })

  it('to a closed port is unreachable', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise(resolve => server.close(resolve))
    const transport = { kind: 'tcp', host: '127.0.0.1', port } as const
    await expect(getRandom({ ...access, transport }, 8)).rejects.toMatchObject({ code: 'TPM_UNREACHABLE' })
  })
})
