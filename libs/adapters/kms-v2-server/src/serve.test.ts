import { status } from '@grpc/grpc-js'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { existsSync, statSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { type ClientHttp2Session, constants } from 'node:http2'
import { KeyManagementService } from './generated/v2/api_pb.ts'
import { frameOf } from './grpc-unary/frame.ts'
import { GRPC_STATUS } from './grpc-unary/status.ts'
import { FRAME, frameClient, h2Call, h2Start } from './testing/frames.ts'
import { type KmsServerOptions } from './serve.ts'
import { kmsClient } from './testing/kms-client.ts'
import { KEY_ID, memoryProvider } from './testing/memory-provider.ts'
import { type OwnServer, serveOwn } from './testing/own-server.ts'
import { answerOf, openCall, type RawAnswer, rawCall, rawSession } from './testing/raw-call.ts'

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const STATUS = '/v2.KeyManagementService/Status'
const EMPTY_FRAME = frameOf(new Uint8Array())
const WAIT_MS = 10_000
const PRIVATE = 0o600

let used: AsyncDisposableStack
let folder: TemporaryFolder
let path: string
const groupId = process.getgid?.() ?? -1

beforeEach(async () => {
  used = new AsyncDisposableStack()
  folder = used.use(await temporaryFolder())
  path = folder.join('kms.sock')
})

afterEach(async () => {
  await used.disposeAsync()
})

/** Serves until the end of the test. */
async function serve(
  service: KmsV2Service = memoryProvider(),
  changes: Partial<KmsServerOptions> = {},
): Promise<OwnServer> {
  return used.use(await serveOwn(service, path, { listen: listenOnUnixSocket, ...changes }))
}

function modeOf(file: string): number {
  return statSync(file).mode & 0o777
}

describe('the socket', () => {
  it('is for its maker alone', async () => {
    await serve()
    expect(modeOf(path)).toBe(PRIVATE)
  })

  it('has the mode that it is given', async () => {
    await serve(memoryProvider(), { mode: 0o660 })
    expect(modeOf(path)).toBe(0o660)
  })

  it('is given to its owner', async () => {
    await serve(memoryProvider(), { mode: 0o660, owner: { groupId } })
    expect([modeOf(path), statSync(path).gid]).toEqual([0o660, groupId])
    using client = kmsClient(path)
    expect(await client.call(KeyManagementService.method.status, {})).toMatchObject({ keyId: KEY_ID })
  })

  it('that has made way for another file leaves it alone at the end', async () => {
    const served = await serve()
    await rm(path)
    await writeFile(path, 'precious')
    await served.server.close()
    expect(await readFile(path, 'utf8')).toBe('precious')
  })

  it('is not taken from another server', async () => {
    await serve()
    await expect(serve()).rejects.toMatchObject({
      code: 'SOCKET_IN_USE',
    })
  })
})

describe('a server that is drained', () => {
  /** A provider whose Encrypt answers when it is let, and how many wait. */
  function heldProvider() {
    const held = Promise.withResolvers<undefined>()
    let waiting = 0
    const service = memoryProvider({
      async encrypt() {
        waiting += 1
        await held.promise
        return { ciphertext: Buffer.from('closed'), keyId: KEY_ID, annotations: new Map() }
      },
    })
    return { service, release: held.resolve, waiting: () => waiting }
  }

  /** A server with one call under way. */
  async function withCallUnderWay(
    use: (parts: {
      readonly served: OwnServer
      readonly session: ClientHttp2Session
      readonly answer: Promise<RawAnswer>
      readonly release: (value: undefined) => void
    }) => Promise<void>,
  ): Promise<void> {
    const { service, release, waiting } = heldProvider()
    const served = await serve(service)
    const session = rawSession(path)
    try {
      const answer = rawCall(session, { path: ENCRYPT, parts: [EMPTY_FRAME] })
      await waitUntil(() => waiting() === 1, { what: 'the call', timeoutMs: WAIT_MS })
      await use({ served, session, answer, release })
    } finally {
      session.destroy()
    }
  }

  it('removes its socket at once, answers what is under way, and then closes', async () => {
    await withCallUnderWay(async ({ served, session, answer, release }) => {
      const goaways: number[] = []
      session.on('goaway', (code: number) => goaways.push(code))
      const drained = served.server.drain({ timeoutMs: WAIT_MS })
      expect(existsSync(path)).toBe(false)
      await waitUntil(() => goaways.length > 0, { what: 'GOAWAY', timeoutMs: WAIT_MS })
      release(undefined)
      expect((await answer).grpcStatus).toBe(GRPC_STATUS.OK)
      await drained
      expect(goaways[0]).toBe(constants.NGHTTP2_NO_ERROR)
      expect(served.server.connectionCount()).toBe(0)
    })
  })

  it('lets another take its place while it still answers', async () => {
    await withCallUnderWay(async ({ served, answer, release }) => {
      const drained = served.server.drain({ timeoutMs: WAIT_MS })
      await serve()
      using client = kmsClient(path)
      expect(await client.call(KeyManagementService.method.status, {})).toMatchObject({ healthz: 'ok' })
      release(undefined)
      expect((await answer).grpcStatus).toBe(GRPC_STATUS.OK)
      await drained
      expect(existsSync(path)).toBe(true)
    })
  })

  it('cuts what is not answered in time, and tells the provider', async () => {
    const signals: AbortSignal[] = []
    const service = memoryProvider({
      encrypt: (_request, { signal }) => {
        signals.push(signal)
        return new Promise(() => undefined)
      },
    })
    const served = await serve(service)
    const session = rawSession(path)
    const answer = answerOf(openCall(session, { path: ENCRYPT }).end(EMPTY_FRAME))
    await waitUntil(() => signals.length === 1, { what: 'the call', timeoutMs: WAIT_MS })
    await served.server.drain({ timeoutMs: 50 })
    expect((await answer).grpcStatus).toBeUndefined()
    expect(signals[0]?.aborted).toBe(true)
    expect(served.calls.map(call => call.status)).toEqual(['CANCELLED'])
    session.destroy()
  })

  it('says which calls it has not taken, for the client to repeat them', async () => {
    const served = await serve()
    const client = frameClient(path)
    client.socket.write(Buffer.concat([h2Start(), h2Call(1, STATUS, EMPTY_FRAME)]))
    await waitUntil(() => served.calls.length === 1, { what: 'the first call', timeoutMs: WAIT_MS })
    const drained = served.server.drain({ timeoutMs: WAIT_MS })
    client.socket.write(h2Call(3, STATUS, EMPTY_FRAME))
    await Promise.all([client.closed, drained])
    const goaway = client.received().find(({ type }) => type === FRAME.GOAWAY)
    // Last stream that was taken (4), code (4).
    expect(goaway?.payload.toString('hex')).toBe('0000000100000000')
    expect(served.calls).toHaveLength(1)
  })

  it('fails no call of a client that waits for the next server', async () => {
    let served = await serve()
    using client = kmsClient(path)
    let isOver = false
    let answers = 0
    const callers = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await client.call(KeyManagementService.method.status, {}, { timeoutMs: WAIT_MS, waitsForReady: true })
        answers += 1
      }
    })
    for (let turn = 0; turn < 5; turn += 1) {
      const before = answers
      await waitUntil(() => answers > before + 20, { what: 'answers', timeoutMs: WAIT_MS })
      await served.server.drain({ timeoutMs: WAIT_MS })
      served = await serve()
    }
    isOver = true
    await Promise.all(callers)
  })

  it('waits for no client that is idle, and cuts one that does not read', async () => {
    const served = await serve()
    using client = kmsClient(path)
    await client.call(KeyManagementService.method.status, {})
    const silent = frameClient(path)
    silent.socket.pause()
    silent.socket.write(h2Start())
    await waitUntil(() => served.server.connectionCount() === 2, { what: 'both connections', timeoutMs: WAIT_MS })
    await served.server.drain({ timeoutMs: 200 })
    silent.socket.destroy()
    expect(served.server.connectionCount()).toBe(0)
  })

  it('waits no longer when it is told to close', async () => {
    await withCallUnderWay(async ({ served, answer }) => {
      const drained = served.server.drain({ timeoutMs: 60_000 })
      await served.server.close()
      await drained
      expect((await answer).grpcStatus).toBeUndefined()
    })
  })

  it('is the same server however often it is told', async () => {
    const served = await serve()
    const drained = served.server.drain({ timeoutMs: WAIT_MS })
    await Promise.all([drained, served.server.drain({ timeoutMs: 1 }), served.server.close()])
    using client = kmsClient(path)
    await expect(client.call(KeyManagementService.method.status, {}, { timeoutMs: 500 })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    })
  })
})
