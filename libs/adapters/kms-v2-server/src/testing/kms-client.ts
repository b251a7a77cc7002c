import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { type DescMessage } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'

/** A client of a KMS v2 provider, by the gRPC library of Node. */
export interface KmsClient extends Disposable {
  /** Rejects with the `ServiceError` of grpc-js. */
  readonly call: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: {
      readonly timeoutMs?: number
      readonly signal?: AbortSignal
      /** As kube-apiserver does: a call waits until there is a connection. */
      readonly waitsForReady?: boolean
    },
  ) => Promise<MessageShape<O>>
}

export function kmsClient(path: string): KmsClient {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), { 'grpc.default_authority': 'localhost' })
  return {
    call: (method, request, { timeoutMs, signal, waitsForReady = false } = {}) =>
      new Promise((resolve, reject) => {
        const call = client.makeUnaryRequest(
          `/${method.parent.typeName}/${method.name}`,
          message => Buffer.from(toBinary(method.input, create(method.input, message))),
          bytes => fromBinary(method.output, bytes),
          request,
          new Metadata({ waitForReady: waitsForReady }),
          timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
          (error: ServiceError | null, response) => {
            if (error !== null) reject(error)
            else if (response === undefined) reject(new Error('neither error nor response'))
            else resolve(response)
          },
        )
        signal?.addEventListener('abort', () => {
          call.cancel()
        })
      }),
    [Symbol.dispose]: () => {
      client.close()
    },
  }
}
