import { create, toBinary } from '@bufbuild/protobuf'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { type ClientHttp2Session, constants } from 'node:http2'
import { EncryptRequestSchema, KeyManagementService } from './generated/v2/api_pb.ts'
import { frameOf } from './grpc-unary/frame.ts'
import { DEFAULT_LIMITS, type KmsServerLimits } from './limits.ts'
import { FRAME, type FrameClient, frameClient, h2Call, h2Frame, h2Start } from './testing/frames.ts'
import { type KmsClient, kmsClient } from './testing/kms-client.ts'
import { KEY_ID, memoryProvider } from './testing/memory-provider.ts'
import { type OwnServer, serveOwn } from './testing/own-server.ts'
import { rawCall, rawSession } from './testing/raw-call.ts'

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const STATUS = '/v2.KeyManagementService/Status'
const WAIT_MS = 20_000
const LIMITS = { maxFramesBetweenCalls: 50, prefaceTimeoutMs: 300, maxSessions: 20, maxConcurrentCalls: 100 }

const EMPTY_FRAME = frameOf(new Uint8Array())
/** Of a frame of HTTP/2. */
const FRAME_HEADER_BYTES_H2 = 9

let used: AsyncDisposableStack
let folder: TemporaryFolder
let served: OwnServer
let bystander: KmsClient
let clients: FrameClient[]

beforeEach(async () => {
  clients = []
  used = new AsyncDisposableStack()
  folder = await temporaryFolder()
  served = await serveOwn(largeAnswers(), folder.join('kms.sock'), { listen: listenOnUnixSocket, limits: LIMITS })
  bystander = kmsClient(served.path)
  await askStatus()
})

afterEach(async () => {
  for (const { socket } of clients) socket.destroy()
  bystander[Symbol.dispose]()
  await used.disposeAsync()
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

function attacker(path = served.path): FrameClient {
  const client = frameClient(path)
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

/** Another server on another socket, until the end of the test. */
async function serveAlso(service: KmsV2Service, limits: Partial<KmsServerLimits>): Promise<OwnServer> {
  return used.use(await serveOwn(service, folder.join('other.sock'), { listen: listenOnUnixSocket, limits }))
}

/** The beginning of a call whose client does not say that it has come to its end. */
function unendedCall(stream: number, body: Uint8Array): Buffer {
  const headers = h2Call(stream, ENCRYPT, new Uint8Array()).subarray(0, -FRAME_HEADER_BYTES_H2)
  return Buffer.concat([headers, h2Frame(FRAME.DATA, { stream, payload: body })])
}

describe('a request that does not come to its end', () => {
  it.each([
    ['after its headers', new Uint8Array()],
    ['within its message', frameOf(new Uint8Array(100)).subarray(0, 50)],
    ['after its message', frameOf(new Uint8Array(100))],
  ])('is refused in time: %s', async (_where, body) => {
    const other = await serveAlso(memoryProvider(), { bodyTimeoutMs: 100 })
    const client = attacker(other.path)
    client.socket.write(Buffer.concat([h2Start(), unendedCall(1, body)]))
    await waitUntil(() => other.calls.length > 0, { what: 'its end', timeoutMs: WAIT_MS })
    expect(other.calls).toMatchObject([{ method: 'Encrypt', status: 'DEADLINE_EXCEEDED' }])
    await waitUntil(() => client.received().some(({ type }) => type === FRAME.HEADERS), {
      what: 'the answer',
      timeoutMs: WAIT_MS,
    })
  })

  it('hinders no other, however many clients send as much of it as they may', async () => {
    const maxCallBytes = 4 * 1024 * 1024
    const other = await serveAlso(largeAnswers(), { maxCallBytes })
    using client = kmsClient(other.path)
    const ask = () => client.call(KeyManagementService.method.encrypt, { plaintext: new Uint8Array(32) })
    await ask()
    const body = Buffer.alloc(16_000)
    body.writeUInt32BE(DEFAULT_LIMITS.maxMessageBytes, 1)
    for (let connection = 0; connection < 20; connection += 1) {
      const { socket } = attacker(other.path)
      socket.write(h2Start())
      for (let call = 0; call < 100; call += 1) socket.write(unendedCall(2 * call + 1, body))
    }
    await waitUntil(() => other.calls.some(call => call.status === 'RESOURCE_EXHAUSTED'), {
      what: 'the memory to be used up',
      timeoutMs: WAIT_MS,
    })
    for (let call = 0; call < 100 || other.failures.length === 0; call += 1) await ask()
    expect(new Set(other.failures.map(failure => failure.kind === 'connectionCut' && failure.fault))).toEqual(
      new Set(['hoarding']),
    )
  })
})

describe('a call for which there is no room', () => {
  it('is refused, and no timer of its deadline is left', async () => {
    const other = await serveAlso(memoryProvider(), { maxCallBytes: 0 })
    const session = rawSession(other.path)
    const headers = { 'grpc-timeout': '1000S' }
    const call = { path: ENCRYPT, headers, parts: [], ends: false }
    const before = timers()
    const answers = Array.from({ length: 50 }, () => rawCall(session, call))
    await waitUntil(() => other.calls.length >= 30, { what: 'calls to be refused', timeoutMs: WAIT_MS })
    session.destroy()
    await Promise.all(answers)
    expect(new Set(other.calls.map(({ status }) => status))).toContain('RESOURCE_EXHAUSTED')
    // To wait takes some, too.
    await waitUntil(() => timers() < before + 10, { what: 'their timers to be gone', timeoutMs: WAIT_MS })
  })
})

/** Those that keep this process from its end. */
function timers(): number {
  return process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
}

describe('very many calls', () => {
  it.each([
    ['of one connection', 1, 3000],
    ['of ten connections', 10, 500],
  ])('at once are answered all: %s', async (_what, connections, count) => {
    const other = await serveAlso(memoryProvider(), {})
    const sessions = Array.from({ length: connections }, () => rawSession(other.path))
    const answers = await Promise.all(
      sessions.flatMap(session =>
        Array.from({ length: count }, () => rawCall(session, { path: ENCRYPT, parts: [encryptFrame(32)] })),
      ),
    )
    for (const session of sessions) session.destroy()
    expect(answers.filter(({ grpcStatus }) => grpcStatus !== 0)).toEqual([])
    expect(other.failures).toEqual([])
  })
})

describe('too many connections', () => {
  /** Opens connections that say hello and no more. */
  function idleClients(count: number): FrameClient[] {
    return Array.from({ length: count }, () => {
      const client = attacker()
      client.socket.write(h2Start())
      return client
    })
  }

  /** Not by the gRPC library: its clients of one address share a connection. */
  async function connectAndCall(): Promise<ClientHttp2Session> {
    const session = rawSession(served.path)
    expect((await rawCall(session, { path: STATUS, parts: [EMPTY_FRAME] })).grpcStatus).toBe(0)
    return session
  }

  const areClosed = (clients: readonly FrameClient[]) => clients.map(({ socket }) => socket.closed)

  it('make room by ending those that have never made a call, the oldest first', async () => {
    const old = idleClients(LIMITS.maxSessions - 1)
    await waitUntil(() => served.server.connectionCount() === LIMITS.maxSessions, { what: 'all', timeoutMs: WAIT_MS })
    expect(served.failures).toEqual([])
    const [first, second, ...others] = old
    const another = await connectAndCall()
    await first?.closed
    const [newer] = idleClients(1)
    await second?.closed
    expect(await faults()).toEqual(['gaveWay', 'gaveWay'])
    expect(areClosed([...others, ...(newer === undefined ? [] : [newer])])).not.toContain(true)
    // Those that have made calls are there.
    await askStatus()
    expect((await rawCall(another, { path: STATUS, parts: [EMPTY_FRAME] })).grpcStatus).toBe(0)
    another.destroy()
  })

  it('never lock out who makes calls, whatever number of others come', async () => {
    for (let round = 0; round < 5; round += 1) {
      idleClients(2 * LIMITS.maxSessions)
      await askStatus()
      const another = await connectAndCall()
      another.destroy()
    }
    await waitUntil(() => served.failures.length > 0, { what: 'some to be ended', timeoutMs: WAIT_MS })
    expect(new Set(await faults())).toEqual(new Set(['gaveWay']))
    expect(served.server.connectionCount()).toBeLessThanOrEqual(LIMITS.maxSessions)
  })

  it('of which all have calls under way are refused as they come', async () => {
    const held = Promise.withResolvers<undefined>()
    let waiting = 0
    const service = memoryProvider({
      encrypt: async () => {
        waiting += 1
        await held.promise
        return { ciphertext: Buffer.alloc(1), keyId: KEY_ID, annotations: new Map() }
      },
    })
    const other = await serveAlso(service, { maxSessions: 3 })
    const sessions = Array.from({ length: 3 }, () => rawSession(other.path))
    const answers = sessions.map(session => rawCall(session, { path: ENCRYPT, parts: [encryptFrame(32)] }))
    await waitUntil(() => waiting === 3, { what: 'the calls', timeoutMs: WAIT_MS })
    await attacker(other.path).closed
    expect(other.failures).toEqual([{ kind: 'connectionRefused', maxSessions: 3 }])
    held.resolve(undefined)
    expect((await Promise.all(answers)).map(({ grpcStatus }) => grpcStatus)).toEqual([0, 0, 0])
    for (const session of sessions) session.destroy()
  })

  it('end the one that has been idle for longest, if all have made calls', async () => {
    const other = await serveAlso(memoryProvider(), { maxSessions: 3 })
    const clients = Array.from({ length: 3 }, () => attacker(other.path))
    const call = async (client: FrameClient, stream: number) => {
      const before = other.calls.length
      client.socket.write(h2Call(stream, STATUS, EMPTY_FRAME))
      await waitUntil(() => other.calls.length > before, { what: 'the call', timeoutMs: WAIT_MS })
    }
    for (const client of clients) {
      client.socket.write(h2Start())
      await call(client, 1)
    }
    const [first, second, third] = clients as [FrameClient, FrameClient, FrameClient]
    await call(first, 3)
    attacker(other.path).socket.write(h2Start())
    await second.closed
    expect(areClosed([first, third])).toEqual([false, false])
    expect(goawayCodes(second)).toEqual([constants.NGHTTP2_NO_ERROR])
  })

  it('are a thousand at least', () => {
    expect(DEFAULT_LIMITS.maxSessions).toBeGreaterThanOrEqual(1000)
  })
})
