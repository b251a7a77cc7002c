import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, status } from '@grpc/grpc-js'
import { type KmsV2Service } from '@sealwright/kms-v2'
import { FRAME_HEADER_BYTES } from '../grpc-unary/frame.ts'
import { type UnaryMethod } from '../grpc-unary/method.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { unaryServiceOf } from '../service.ts'

/** The same methods behind the gRPC library of Node: what our own server is compared with, in tests and in benchmarks. Never shipped. */
export async function serveByGrpcJs(service: KmsV2Service, path: string): Promise<AsyncDisposable> {
  const server = new Server({
    'grpc.max_receive_message_length': DEFAULT_LIMITS.maxMessageBytes,
    'grpc.max_concurrent_streams': DEFAULT_LIMITS.maxConcurrentCalls,
    'grpc.enable_channelz': 0,
  })
  const { methods, refusalOf } = unaryServiceOf(service)

  async function answer(method: UnaryMethod<string>, message: Buffer, signal: AbortSignal): Promise<Uint8Array> {
    return (await method.handle(message, { signal })).subarray(FRAME_HEADER_BYTES)
  }

  for (const [methodPath, method] of methods) {
    const handle = (call: ServerUnaryCall<Buffer, Uint8Array>, callback: sendUnaryData<Uint8Array>): void => {
      const cancelled = new AbortController()
      call.on('cancelled', () => {
        cancelled.abort()
      })
      answer(method, call.request, cancelled.signal).then(
        message => {
          callback(null, message)
        },
        (error: unknown) => {
          const refusal = refusalOf(error)
          callback({ code: status[refusal?.status ?? 'INTERNAL'], details: refusal?.message ?? 'failed' })
        },
      )
    }
    server.register(methodPath, handle, bufferOf, bufferOf, 'unary')
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => {
      if (error === null) resolve()
      else reject(error)
    })
  })
  return {
    [Symbol.asyncDispose]: () => {
      server.forceShutdown()
      return Promise.resolve()
    },
  }
}

/** The same bytes, not a copy. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
