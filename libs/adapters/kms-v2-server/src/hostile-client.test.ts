import { create, toBinary } from '@bufbuild/protobuf'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { constants } from 'node:http2'
import { EncryptRequestSchema, KeyManagementService } from './generated/v2/api_pb.ts'
import { frameOf } from './grpc-unary/frame.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { FRAME, type FrameClient, frameClient, h2Call, h2Frame, h2Start } from './testing/frames.ts'
import { type KmsClient, kmsClient } from './testing/kms-client.ts'
import { KEY_ID, memoryProvider } from './testing/memory-provider.ts'
import { type OwnServer, serveOwn } from './testing/own-server.ts'
import { rawCall, rawSession } from './testing/raw-call.ts'

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const STATUS = '/v2.KeyManagementService/Status'
const WAIT_MS = 20_000
const LIMITS = { maxFramesBetweenCalls: 50, prefaceTimeoutMs: 300, maxSessions: 20, maxConcurrentCalls: 100 }

let folder: TemporaryFolder
let served: OwnServer
let bystander: KmsClient
let clients: FrameClient[]

beforeEach(async () => {
  clients = []
  folder = await temporaryFolder()
  served = await serveOwn(largeAnswers(), folder.join('kms.sock'), { listen: listenOnUnixSocket, limits: LIMITS })
  bystander = kmsClient(served.path)
  await askStatus()
})

afterEach(async () => {
  for (const { socket } of clients) socket.destroy()
  bystander[Symbol.dispose]()
  await served.server.close()
  await folder.remove()
})

/** Answers each Encrypt with 30 kB. */
function largeAnswers(): KmsV2Service {
  const annotations = new Map([['large.test.sealwright.example', Buffer.alloc(30_000)]])
  return memoryProvider({
    encrypt: () => Promise.resolve({ ciphertext: Buffer.alloc(100), keyId: KEY_ID, annotations }),
  })
}

async function askStatus(): Promise<void> {
  expect(await bystander.call(KeyManagementService.method.status, {})).toMatchObject({ healthz: 'ok' })
}

function attacker(): FrameClient {
  const client = frameClient(served.path)
  clients.push(client)
  return client
}

function encryptFrame(plaintextBytes: number): Buffer {
  const plaintext = new Uint8Array(plaintextBytes).fill(7)
  return Buffer.from(frameOf(toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { plaintext }))))
}

function goawayCodes(client: FrameClient): number[] {
  return client
    .received()
    .filter(({ type }) => type === FRAME.GOAWAY)
    .map(({ payload }) => payload.readUInt32BE(4))
}

/** The faults that were reported, once there is at least one. */
async function faults(): Promise<unknown[]> {
  return await waitUntil(
    () =>
      served.failures.length > 0
        ? served.failures.map(failure => (failure.kind === 'connectionCut' ? failure.fault : failure.kind))
        : null,
    {
      what: 'a failure to be reported',
      timeoutMs: WAIT_MS,
    },
  )
}

describe('a client', () => {
  it.each([
    ['speaks HTTP/1.1', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['sends random bytes', Buffer.alloc(5000, 0xa5)],
  ])('that %s is cut off, and others are served', async (_what, bytes) => {
    const client = attacker()
    client.socket.write(bytes)
    await client.closed
    expect(await faults()).toEqual(['protocolError'])
    await askStatus()
  })

  it('that says nothing is cut off, and one that has said hello may be silent', async () => {
    const greeted = attacker()
    greeted.socket.write(h2Start())
    const silent = attacker()
    await silent.closed
    expect(await faults()).toEqual(['noPreface'])
    greeted.socket.write(h2Call(1, ENCRYPT, encryptFrame(32)))
    await waitUntil(() => greeted.received().some(({ type }) => type === FRAME.DATA), {
      what: 'an answer',
      timeoutMs: WAIT_MS,
    })
  })

  it('that connects and leaves is no failure', async () => {
    const client = attacker()
    client.socket.on('connect', () => client.socket.destroy())
    await client.closed
    await waitUntil(() => served.server.connectionCount() === 1, {
      what: 'the connection to be forgotten',
      timeoutMs: WAIT_MS,
    })
    expect(served.failures).toEqual([])
  })

  it.each([
    ['PING', 'tooManyPings', h2Frame(FRAME.PING, { payload: Buffer.alloc(8) })],
    ['SETTINGS', 'tooManySettings', h2Frame(FRAME.SETTINGS)],
  ])('that sends nothing but %s frames is cut off', async (_what, fault, frame) => {
    const client = attacker()
    client.socket.write(Buffer.concat([h2Start(), ...Array<Buffer>(60).fill(frame)]))
    await client.closed
    expect(await faults()).toEqual([fault])
    expect(goawayCodes(client)).toEqual([constants.NGHTTP2_ENHANCE_YOUR_CALM])
    await askStatus()
  })

  it('may send as many PING frames as it likes, if it makes calls', async () => {
    const client = attacker()
    const ping = h2Frame(FRAME.PING, { payload: Buffer.alloc(8) })
    client.socket.write(h2Start())
    for (let call = 0; call < 10; call += 1) {
      client.socket.write(
        Buffer.concat([...Array<Buffer>(40).fill(ping), h2Call(2 * call + 1, STATUS, frameOf(new Uint8Array()))]),
      )
      // One write would be one read, and all its PINGs counted before its calls are.
      await waitUntil(() => client.received().filter(({ type }) => type === FRAME.DATA).length > call, {
        what: 'an answer',
        timeoutMs: WAIT_MS,
      })
    }
    expect(served.failures).toEqual([])
  })

  it('that opens and cancels calls without end is cut off', async () => {
    const client = attacker()
    client.socket.write(h2Start())
    const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL])
    for (let call = 0; call < 5000 && !client.socket.destroyed; call += 1) {
      const stream = 2 * call + 1
      client.socket.write(
        Buffer.concat([
          h2Call(stream, ENCRYPT, encryptFrame(32)),
          h2Frame(FRAME.RST_STREAM, { stream, payload: cancel }),
        ]),
      )
    }
    await client.closed
    await askStatus()
  })

  it.each([
    ['takes no byte of its answers', [0, 0, 0, 0]],
    ['does not read its socket', [0x7f, 0xff, 0xff, 0xff]],
  ])('that %s hinders nobody, and takes a bounded memory', async (_what, window) => {
    const client = attacker()
    client.socket.pause()
    const before = process.memoryUsage.rss()
    client.socket.write(h2Start(Buffer.from([0, constants.NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, ...window])))
    for (let call = 0; call < 1000; call += 1) client.socket.write(h2Call(2 * call + 1, ENCRYPT, encryptFrame(32)))
    await waitUntil(() => served.calls.length >= 50, {
      what: 'calls that nobody takes the answers of',
      timeoutMs: WAIT_MS,
    })
    for (let call = 0; call < 20; call += 1) await askStatus()
    // Above that its calls are refused, and then its connection.
    expect(served.calls.filter(({ method }) => method === 'Encrypt').length).toBeLessThanOrEqual(
      LIMITS.maxConcurrentCalls,
    )
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000)
  })

  it('that never ends its message hinders nobody', async () => {
    const client = attacker()
    client.socket.write(h2Start())
    const body = Buffer.from([0, 0, 0, 255, 255])
    for (let call = 0; call < 90; call += 1) {
      const [headers, data] = [
        h2Call(2 * call + 1, ENCRYPT, body),
        h2Frame(FRAME.DATA, { stream: 2 * call + 1, payload: body }),
      ]
      client.socket.write(Buffer.concat([headers.subarray(0, headers.length - data.length), data]))
    }
    await askStatus()
  })

  it.each([
    ['before', false],
    ['after', true],
  ])('that sends too long a list of headers %s it knows the limit is refused', async (_when, knowsLimits) => {
    const session = rawSession(served.path)
    if (knowsLimits) await rawCall(session, { path: ENCRYPT, parts: [encryptFrame(32)] })
    const headers = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`x-${index}`, 'v'.repeat(1000)]))
    const answer = await rawCall(session, { path: ENCRYPT, headers, parts: [encryptFrame(32)] })
    expect(answer).toMatchObject({
      grpcStatus: undefined,
      ...(knowsLimits ? { rstCode: constants.NGHTTP2_ENHANCE_YOUR_CALM } : { httpStatus: 431 }),
    })
    session.destroy()
    await askStatus()
  })

  it('waits when it has as many calls under way as it may', async () => {
    const session = rawSession(served.path)
    const answers = Array.from({ length: 300 }, () => rawCall(session, { path: ENCRYPT, parts: [encryptFrame(32)] }))
    expect(new Set((await Promise.all(answers)).map(({ grpcStatus }) => grpcStatus))).toEqual(new Set([0]))
    expect(session.remoteSettings.maxConcurrentStreams).toBe(LIMITS.maxConcurrentCalls)
    session.destroy()
  })
})

describe('too many connections', () => {
  it('are closed as they come, and make room when others leave', async () => {
    const many = Array.from({ length: 25 }, () => {
      const client = attacker()
      client.socket.write(h2Start())
      return client
    })
    await waitUntil(() => served.failures.length > 0, { what: 'a connection to be refused', timeoutMs: WAIT_MS })
    expect(new Set(served.failures.map(failure => failure.kind))).toEqual(new Set(['connectionRefused']))
    expect(served.server.connectionCount()).toBeLessThanOrEqual(20)
    await askStatus()
    for (const { socket } of many) socket.destroy()
    await waitUntil(() => served.server.connectionCount() === 1, { what: 'them to leave', timeoutMs: WAIT_MS })
    using another = kmsClient(served.path)
    expect(await another.call(KeyManagementService.method.status, {})).toMatchObject({ healthz: 'ok' })
  })

  it('are a thousand at least', () => {
    expect(DEFAULT_LIMITS.maxSessions).toBeGreaterThanOrEqual(1000)
  })
})
