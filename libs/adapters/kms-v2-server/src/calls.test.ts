import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { listenOnUnixSocket } from '@sealwright/unix-socket'
import { type ClientHttp2Session, constants } from 'node:http2'
import { DecryptRequestSchema, EncryptRequestSchema, EncryptResponseSchema } from './generated/v2/api_pb.ts'
import { FRAME_HEADER_BYTES, frameOf } from './grpc-unary/frame.ts'
import { GRPC_STATUS } from './grpc-unary/status.ts'
import { KEY_ID, memoryProvider } from './testing/memory-provider.ts'
import { type OwnServer, serveOwn } from './testing/own-server.ts'
import { answerOf, openCall, type RawAnswer, rawCall, type RawCall, rawSession } from './testing/raw-call.ts'

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const DECRYPT = '/v2.KeyManagementService/Decrypt'
const STATUS = '/v2.KeyManagementService/Status'
const WAIT_MS = 10_000

const GOOD_FRAME = frameOf(
  toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { plaintext: new Uint8Array(32).fill(7), uid: 'u' })),
)

let folder: TemporaryFolder
let served: OwnServer
let session: ClientHttp2Session

beforeEach(async () => {
  folder = await temporaryFolder()
  await serve(memoryProvider())
})

afterEach(async () => {
  await stop()
  await folder.remove()
})

async function serve(service: KmsV2Service): Promise<void> {
  served = await serveOwn(service, folder.join('kms.sock'), { listen: listenOnUnixSocket })
  session = rawSession(served.path)
}

async function stop(): Promise<void> {
  session.destroy()
  await served.server.close()
}

/** Starts anew with another provider. */
async function serveInstead(service: KmsV2Service): Promise<void> {
  await stop()
  await serve(service)
}

async function encrypt(call: RawCall = { parts: [GOOD_FRAME] }): Promise<RawAnswer> {
  return await rawCall(session, { path: ENCRYPT, ...call })
}

function keyIdIn({ body }: RawAnswer): string {
  return fromBinary(EncryptResponseSchema, body.subarray(FRAME_HEADER_BYTES)).keyId
}

/** A provider whose Encrypt never answers, and the signals of its calls. */
function silentProvider(): { readonly service: KmsV2Service; readonly signals: AbortSignal[] } {
  const signals: AbortSignal[] = []
  const service = memoryProvider({
    encrypt: (_request, { signal }) => {
      signals.push(signal)
      return new Promise(() => undefined)
    },
  })
  return { service, signals }
}

describe('a call', () => {
  it('is answered in HTTP/2 as gRPC has it', async () => {
    const answer = await encrypt()
    expect(answer).toMatchObject({ httpStatus: 200, grpcStatus: GRPC_STATUS.OK, rstCode: constants.NGHTTP2_NO_ERROR })
    expect(keyIdIn(answer)).toBe(KEY_ID)
    expect(answer.body.readUInt32BE(1)).toBe(answer.body.length - FRAME_HEADER_BYTES)
  })

  it('is answered wherever its message is cut into frames', async () => {
    for (let place = 0; place <= GOOD_FRAME.length; place += 1) {
      const answer = await encrypt({ parts: [GOOD_FRAME.subarray(0, place), GOOD_FRAME.subarray(place)] })
      expect([place, answer.grpcStatus]).toEqual([place, GRPC_STATUS.OK])
    }
    const each = Array.from(GOOD_FRAME, byte => Uint8Array.of(byte))
    expect(keyIdIn(await encrypt({ parts: each }))).toBe(KEY_ID)
  })

  it.each(['application/grpc', 'application/grpc+proto', 'application/grpc;charset=utf-8'])(
    'may be of the type %s',
    async type => {
      expect((await encrypt({ parts: [GOOD_FRAME], headers: { 'content-type': type } })).grpcStatus).toBe(
        GRPC_STATUS.OK,
      )
    },
  )

  it('needs no te header, and may name an encoding that it does not use', async () => {
    const stream = session.request({
      ':method': 'POST',
      ':path': STATUS,
      'content-type': 'application/grpc',
      'grpc-encoding': 'gzip',
    })
    const answer = answerOf(stream)
    stream.end(frameOf(new Uint8Array()))
    expect((await answer).grpcStatus).toBe(GRPC_STATUS.OK)
  })

  it.each([
    ['no body at all', { parts: [] }, GRPC_STATUS.UNIMPLEMENTED],
    ['a cut-off header of its frame', { parts: [GOOD_FRAME.subarray(0, 3)] }, GRPC_STATUS.INVALID_ARGUMENT],
    ['a cut-off message', { parts: [GOOD_FRAME.subarray(0, -1)] }, GRPC_STATUS.INVALID_ARGUMENT],
    ['a second message', { parts: [GOOD_FRAME, GOOD_FRAME] }, GRPC_STATUS.UNIMPLEMENTED],
    ['bytes after its message', { parts: [Buffer.concat([GOOD_FRAME, Uint8Array.of(0)])] }, GRPC_STATUS.UNIMPLEMENTED],
    ['a compressed message', { parts: [Uint8Array.of(1, 0, 0, 0, 0)] }, GRPC_STATUS.UNIMPLEMENTED],
    ['an unknown flag', { parts: [Uint8Array.of(9, 0, 0, 0, 0)] }, GRPC_STATUS.INVALID_ARGUMENT],
    ['a message that is no protobuf', { parts: [frameOf(Uint8Array.of(0x0a, 9))] }, GRPC_STATUS.INVALID_ARGUMENT],
    ['a text that is no UTF-8', { parts: [frameOf(Uint8Array.of(0x12, 1, 0xff))] }, GRPC_STATUS.INVALID_ARGUMENT],
    [
      'a path that is none of ours',
      { path: '/v2.KeyManagementService/encrypt', parts: [GOOD_FRAME] },
      GRPC_STATUS.UNIMPLEMENTED,
    ],
    ['a path that every object has', { path: '/__proto__', parts: [GOOD_FRAME] }, GRPC_STATUS.UNIMPLEMENTED],
    ['a malformed deadline', { parts: [GOOD_FRAME], headers: { 'grpc-timeout': '1x' } }, GRPC_STATUS.INVALID_ARGUMENT],
    [
      'a deadline that has passed',
      { parts: [GOOD_FRAME], headers: { 'grpc-timeout': '1n' } },
      GRPC_STATUS.DEADLINE_EXCEEDED,
    ],
  ])('with %s is refused, and the next is served', async (_what, call, grpcStatus) => {
    const answer = await encrypt(call)
    expect(answer).toMatchObject({ httpStatus: 200, grpcStatus, rstCode: constants.NGHTTP2_NO_ERROR })
    expect(answer.body).toHaveLength(0)
    expect((await encrypt()).grpcStatus).toBe(GRPC_STATUS.OK)
  })

  it.each([
    ['has no type', { headers: { 'content-type': '' } }, 415],
    ['is JSON', { headers: { 'content-type': 'application/json' } }, 415],
    ['is of a type that only begins like ours', { headers: { 'content-type': 'application/grpcx' } }, 415],
    ['is gRPC for browsers', { headers: { 'content-type': 'application/grpc-web' } }, 415],
    ['is a GET', { method: 'GET' }, 405],
    ['is a HEAD', { method: 'HEAD' }, 405],
  ])('that %s is refused in words of HTTP', async (_what, call, httpStatus) => {
    expect(await encrypt({ parts: [], ...call })).toMatchObject({ httpStatus, grpcStatus: undefined })
    expect((await encrypt()).grpcStatus).toBe(GRPC_STATUS.OK)
  })

  it('that is too long is refused before it has come, and the rest is not wanted', async () => {
    const answer = await encrypt({ parts: [Uint8Array.of(0, 0, 2, 0, 1)], ends: false })
    expect(answer).toMatchObject({ grpcStatus: GRPC_STATUS.RESOURCE_EXHAUSTED, rstCode: constants.NGHTTP2_NO_ERROR })
    expect(answer.grpcMessage).toBe('a message of 131073 bytes is longer than the 131072 that are taken')
  })

  it('may be as long as the longest request', async () => {
    const annotations = { 'a.example': new Uint8Array(60_000) }
    const message = toBinary(DecryptRequestSchema, create(DecryptRequestSchema, { keyId: 'none', annotations }))
    const answer = await rawCall(session, { path: DECRYPT, parts: [frameOf(message)] })
    expect(answer).toMatchObject({ grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, grpcMessage: 'no key has this key id' })
  })
})

describe('a call that its provider does not answer', () => {
  it('is answered and aborted at its deadline', async () => {
    const { service, signals } = silentProvider()
    await serveInstead(service)
    const answer = await encrypt({ parts: [GOOD_FRAME], headers: { 'grpc-timeout': '30m' } })
    expect(answer).toMatchObject({ grpcStatus: GRPC_STATUS.DEADLINE_EXCEEDED, rstCode: constants.NGHTTP2_NO_ERROR })
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })

  it('is aborted when its caller cancels, and when its connection breaks', async () => {
    const { service, signals } = silentProvider()
    await serveInstead(service)
    for (const end of [
      (stream: ReturnType<typeof openCall>) => {
        stream.close(constants.NGHTTP2_CANCEL)
      },
      () => {
        session.destroy()
      },
    ]) {
      const count = signals.length
      const stream = openCall(session, { path: ENCRYPT })
      stream.end(GOOD_FRAME)
      await waitUntil(() => signals.length > count, { what: 'the call', timeoutMs: WAIT_MS })
      end(stream)
      await waitUntil(() => signals.every(({ aborted }) => aborted), {
        what: 'the end of the call',
        timeoutMs: WAIT_MS,
      })
    }
    expect(served.calls.map(({ status }) => status)).toEqual(['CANCELLED', 'CANCELLED'])
  })

  it('gives a signal that is aborted already to whoever asks for it after the end', async () => {
    const asked = Promise.withResolvers<boolean>()
    const begun = Promise.withResolvers<undefined>()
    const gone = Promise.withResolvers<undefined>()
    await serveInstead(
      memoryProvider({
        encrypt: async (_request, call) => {
          begun.resolve(undefined)
          await gone.promise
          asked.resolve(call.signal.aborted)
          throw new Error('nobody hears it')
        },
      }),
    )
    const stream = openCall(session, { path: ENCRYPT })
    stream.end(GOOD_FRAME)
    await begun.promise
    stream.close(constants.NGHTTP2_CANCEL)
    await waitUntil(() => served.calls.length === 1, { what: 'the end of the call', timeoutMs: WAIT_MS })
    gone.resolve(undefined)
    expect(await asked.promise).toBe(true)
  })
})

describe('what the server tells of its calls', () => {
  it('is how each went, once', async () => {
    await encrypt()
    await encrypt({ parts: [GOOD_FRAME.subarray(0, -1)] })
    await rawCall(session, { path: '/unknown', parts: [GOOD_FRAME] })
    expect(served.calls).toEqual([
      {
        method: 'Encrypt',
        status: 'OK',
        durationMs: expect.any(Number) as number,
        cause: undefined,
      },
      expect.objectContaining({ method: 'Encrypt', status: 'INVALID_ARGUMENT' }),
    ])
    for (const { durationMs } of served.calls) expect(durationMs).toBeGreaterThan(0)
    expect(served.failures).toEqual([])
  })

  it('is a bug of the provider, whole, and to the caller nothing of it', async () => {
    const bug = new TypeError('plaintext is not iterable')
    await serveInstead(
      memoryProvider({
        status: () => {
          throw bug
        },
        encrypt: () => Promise.reject(bug),
      }),
    )
    for (const path of [STATUS, ENCRYPT]) {
      const answer = await rawCall(session, { path, parts: [frameOf(new Uint8Array())] })
      expect(answer).toMatchObject({
        grpcStatus: GRPC_STATUS.INTERNAL,
        grpcMessage: 'the KMS plugin failed; its own log says why',
      })
    }
    expect(served.failures).toEqual([
      { kind: 'handlerFailed', method: 'Status', cause: bug },
      { kind: 'handlerFailed', method: 'Encrypt', cause: bug },
    ])
    expect(served.calls.map(({ status, cause }) => [status, cause])).toEqual([
      ['INTERNAL', bug],
      ['INTERNAL', bug],
    ])
  })
})
