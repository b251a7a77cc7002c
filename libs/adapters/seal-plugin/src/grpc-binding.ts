import {
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  create,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { RefusedCall, type RefusalStatus } from './refused-call.ts'

const GRPC_STATUS: Readonly<Record<RefusalStatus, status>> = {
  unknown: status.UNKNOWN,
  notFound: status.NOT_FOUND,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
  invalidArgument: status.INVALID_ARGUMENT,
}

/** Answers one unary method; a {@link RefusedCall} becomes its status. `handle` must throw nothing else. */
export function bindUnary<I extends DescMessage, O extends DescMessage>(
  server: Server,
  method: DescMethodUnary<I, O>,
  handle: (request: MessageShape<I>, signal: AbortSignal) => Promise<MessageInitShape<O>>,
): void {
  server.register<MessageShape<I>, MessageInitShape<O>>(
    pathOf(method),
    (call: ServerUnaryCall<MessageShape<I>, MessageInitShape<O>>, callback: sendUnaryData<MessageInitShape<O>>) => {
      const cancelled = new AbortController()
      call.on('cancelled', () => {
        cancelled.abort()
      })
      handle(call.request, cancelled.signal).then(
        response => {
          callback(null, response)
        },
        (error: unknown) => {
          callback(statusOf(error))
        },
      )
    },
    response => serialise(method.output, response),
    bytes => fromBinary(method.input, bytes),
    'unary',
  )
}

/** Keeps a stream open without ever sending on it. `onOpen` gets told of each, and returns who to tell of its end. */
export function bindSilentStream<I extends DescMessage, O extends DescMessage>(
  server: Server,
  method: DescMethodServerStreaming<I, O>,
  onOpen: () => () => void,
): void {
  server.register<MessageShape<I>, MessageInitShape<O>>(
    pathOf(method),
    (call: ServerWritableStream<MessageShape<I>, MessageInitShape<O>>) => {
      const onEnd = onOpen()
      // The end of the call reaches us as a cancellation: nobody but the host ends it.
      call.on('cancelled', onEnd)
      call.on('error', onEnd)
    },
    response => serialise(method.output, response),
    bytes => fromBinary(method.input, bytes),
    'serverStream',
  )
}

/** Takes whatever comes on a stream in both directions, and ends it when the host does. */
export function bindIgnoredStream<I extends DescMessage, O extends DescMessage>(
  server: Server,
  method: DescMethodBiDiStreaming<I, O>,
): void {
  server.register<MessageShape<I>, MessageInitShape<O>>(
    pathOf(method),
    (call: ServerDuplexStream<MessageShape<I>, MessageInitShape<O>>) => {
      call.on('end', () => {
        call.end()
      })
      // A broken stream ends with its connection, and that is noticed elsewhere.
      call.on('error', () => {
        call.end()
      })
      call.resume()
    },
    response => serialise(method.output, response),
    bytes => fromBinary(method.input, bytes),
    'bidi',
  )
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

/**
 * Encodes a response and wipes every trace of it that is ours: it may be a plaintext. grpc-js copies the result
 * synchronously; its own copy, the TLS record and the engine's are out of reach.
 */
function serialise<O extends DescMessage>(schema: O, response: MessageInitShape<O>): Buffer {
  const encoded = toBinary(schema, create(schema, response))
  if (hasPlaintext(response)) {
    response.plaintext.fill(0)
    setImmediate(() => {
      encoded.fill(0)
    })
  }
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength)
}

function hasPlaintext(response: object): response is { readonly plaintext: Uint8Array } {
  return 'plaintext' in response && response.plaintext instanceof Uint8Array
}

function statusOf(error: unknown): { readonly code: status; readonly details: string } {
  if (error instanceof RefusedCall) return { code: GRPC_STATUS[error.status], details: error.message }
  return { code: status.INTERNAL, details: 'internal failure' }
}
