import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2'
import { createConnection } from 'node:net'
import { type DecryptRequest, type EncryptResponse } from '@sealwright/kms-v2'
import { type Secret } from '@sealwright/secret'
import { errorCodeOf } from '@sealwright/system-error'
import { KmsCommandError, PluginAbsent, PluginRefusal } from '../errors.ts'
import {
  decodeDecryptResponse,
  decodeEncryptResponse,
  decodeStatus,
  encodeDecryptRequest,
  encodeEncryptRequest,
} from './messages.ts'

const SERVICE = 'v2.KeyManagementService'
/** Before each message: a flag (1) and its length (4). */
const FRAME_HEADER_BYTES = 5
/** More than any answer of a provider has. */
const MAX_ANSWER_BYTES = 65_536
const MAX_QUOTED_CHARS = 500

const NOBODY_THERE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no socket: the KMS plugin does not run, or has not seen its key yet',
  ECONNREFUSED: 'nobody listens: the KMS plugin has ended',
}

/** Names of the statuses that a provider answers with (grpc.io, "Status codes and their use in gRPC"). */
const STATUS_NAMES = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
  ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
]

/** A running KMS plugin, asked as kube-apiserver asks it: gRPC on its Unix socket. Each call may throw {@link KmsCommandError} `KMS_PLUGIN_…`. */
export interface PluginClient extends Disposable {
  readonly status: () => Promise<{ readonly version: string; readonly healthz: string; readonly keyId: string }>
  readonly encrypt: (plaintext: Secret, uid: string) => Promise<EncryptResponse>
  /** The caller's, who wipes it. */
  readonly decrypt: (request: DecryptRequest) => Promise<Secret>
}

export interface PluginClientOptions {
  readonly socketPath: string
  /** Of one call. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Makes a client. Nothing is sent before the first call. */
export function pluginClient(options: PluginClientOptions): PluginClient {
  const { socketPath } = options
  let session: ClientHttp2Session | undefined
  const open = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect('http://localhost', { createConnection: () => createConnection(socketPath) })
      // Each call hears of it by itself.
      session.on('error', () => undefined)
    }
    return session
  }
  const call = async <T>(method: string, message: Uint8Array, decode: (answer: Uint8Array) => T): Promise<T> => {
    const answer = await unary(open(), method, message, options)
    try {
      return decode(answer)
    } catch (cause) {
      throw notKms(`${method}: the answer cannot be read`, { cause })
    }
  }
  return {
    status: async () => await call('Status', new Uint8Array(), decodeStatus),
    encrypt: async (plaintext, uid) =>
      await call('Encrypt', encodeEncryptRequest(plaintext, uid), decodeEncryptResponse),
    decrypt: async request => await call('Decrypt', encodeDecryptRequest(request), decodeDecryptResponse),
    [Symbol.dispose]: () => {
      session?.destroy()
    },
  }
}

/** One call. Overwrites `message`, which may hold a plaintext. */
async function unary(
  session: ClientHttp2Session,
  method: string,
  message: Uint8Array,
  { socketPath, timeoutMs, signal }: PluginClientOptions,
): Promise<Uint8Array> {
  const deadline = AbortSignal.timeout(timeoutMs)
  const stream = session.request(
    {
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: `/${SERVICE}/${method}`,
      ...{ 'content-type': 'application/grpc', te: 'trailers', 'grpc-timeout': `${timeoutMs}m` },
    },
    { signal: AbortSignal.any([signal, deadline]) },
  )
  const ended = new Promise<{ readonly headers: IncomingHttpHeaders; readonly body: Uint8Array }>((resolve, reject) => {
    const parts: Buffer[] = []
    let headers: IncomingHttpHeaders = {}
    let byteLength = 0
    stream.on('response', (received: IncomingHttpHeaders) => (headers = { ...headers, ...received }))
    stream.on('trailers', (received: IncomingHttpHeaders) => (headers = { ...headers, ...received }))
    stream.on('data', (part: Buffer) => {
      byteLength += part.byteLength
      if (byteLength > MAX_ANSWER_BYTES)
        stream.destroy(notKms(`${method}: more than ${MAX_ANSWER_BYTES} bytes of answer`))
      else parts.push(part)
    })
    stream.once('error', reject)
    stream.once('close', () => {
      resolve({ headers, body: Buffer.concat(parts) })
      for (const part of parts) part.fill(0)
    })
  })
  const frame = frameOf(message)
  message.fill(0)
  stream.end(frame)
  try {
    const { headers, body } = await ended
    return messageIn(method, headers, body)
  } catch (cause) {
    if (cause instanceof KmsCommandError) throw cause
    signal.throwIfAborted()
    if (deadline.aborted) {
      throw new KmsCommandError('KMS_PLUGIN_TIMEOUT', `${socketPath}: no answer to ${method} in ${timeoutMs} ms`, {
        cause,
      })
    }
    throw unreachable(socketPath, cause)
  } finally {
    frame.fill(0)
  }
}

function messageIn(method: string, headers: IncomingHttpHeaders, body: Uint8Array): Uint8Array {
  const status = Number(headers['grpc-status'])
  if (!Number.isInteger(status)) throw notKms(`${method}: what answers speaks no gRPC`)
  if (status !== 0) {
    const said = decoded(String(headers['grpc-message'] ?? '')).slice(0, MAX_QUOTED_CHARS)
    const name = STATUS_NAMES[status] ?? `status ${status}`
    throw new PluginRefusal(name, `${method}: ${name}: ${said}`)
  }
  if (body.byteLength < FRAME_HEADER_BYTES || body[0] !== 0) throw notKms(`${method}: no whole message`)
  const length = new DataView(body.buffer, body.byteOffset).getUint32(1)
  if (length !== body.byteLength - FRAME_HEADER_BYTES) throw notKms(`${method}: no whole message`)
  return body.subarray(FRAME_HEADER_BYTES)
}

function frameOf(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + message.byteLength)
  new DataView(frame.buffer).setUint32(1, message.byteLength)
  frame.set(message, FRAME_HEADER_BYTES)
  return frame
}

/** gRPC percent-encodes what is not printable ASCII. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function unreachable(socketPath: string, cause: unknown): KmsCommandError {
  // A stream only tells that it was cancelled: behind it is why.
  const behind = typeof cause === 'object' && cause !== null && 'cause' in cause ? errorCodeOf(cause.cause) : undefined
  const code = behind ?? errorCodeOf(cause)
  const absent = NOBODY_THERE[code ?? '']
  if (absent !== undefined) return new PluginAbsent(`${socketPath}: ${absent}; see its log`, { cause })
  const why =
    code === 'EACCES'
      ? 'this user may not connect: run sealctl as root, or as the user of the API server'
      : `no answer (${code ?? 'no code'})`
  return new KmsCommandError('KMS_PLUGIN_UNREACHABLE', `${socketPath}: ${why}`, { cause })
}

function notKms(what: string, options?: ErrorOptions): KmsCommandError {
  return new KmsCommandError('KMS_PLUGIN_ANSWER', `${what}: is it the socket of a KMS v2 plugin?`, options)
}
