import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2'
import { connect as connectSocket } from 'node:net'

/** A call as bytes, right or wrong. */
export interface RawCall {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** One DATA frame each. */
  readonly parts?: readonly Uint8Array[]
  /** Whether the request comes to its end after them. Default true. */
  readonly ends?: boolean
}

/** What came back. */
export interface RawAnswer {
  readonly httpStatus: number | undefined
  readonly grpcStatus: number | undefined
  readonly grpcMessage: string | undefined
  readonly body: Buffer
  /** HTTP/2's code of how the stream ended; 0 is well. */
  readonly rstCode: number | undefined
}

/** Opens an HTTP/2 connection to a Unix socket. */
export function rawSession(path: string): ClientHttp2Session {
  return connect('http://localhost', { createConnection: () => connectSocket(path) })
}

/** Opens a call and sends nothing of its body. */
export function openCall(
  session: ClientHttp2Session,
  { method = 'POST', path = '/', headers = {} }: RawCall,
): ClientHttp2Stream {
  const stream = session.request({
    ':method': method,
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  // What befell the stream is in its code.
  stream.on('error', () => stream.resume())
  return stream
}

/** Makes a call and waits for the end of its stream. */
export async function rawCall(session: ClientHttp2Session, call: RawCall): Promise<RawAnswer> {
  const stream = openCall(session, call)
  const answer = answerOf(stream)
  const { parts = [], ends = true } = call
  for (const part of parts) {
    if (stream.closed) break
    await new Promise<void>(resolve => {
      stream.write(part, () => {
        resolve()
      })
    })
  }
  if (ends) stream.end()
  return await answer
}

/** Waits for the end of a stream. */
export async function answerOf(stream: ClientHttp2Stream): Promise<RawAnswer> {
  const fields: IncomingHttpHeaders = {}
  const body: Buffer[] = []
  const keep = (headers: IncomingHttpHeaders): void => {
    Object.assign(fields, headers)
  }
  stream.on('response', keep)
  stream.on('trailers', keep)
  stream.on('data', (part: Buffer) => body.push(part))
  // Not `once` of node:events: it would reject with the stream's error.
  await new Promise<void>(resolve => {
    stream.on('close', resolve)
  })
  const { ':status': httpStatus, 'grpc-status': grpcStatus, 'grpc-message': grpcMessage } = fields
  return {
    httpStatus: httpStatus as number | undefined,
    grpcStatus: grpcStatus === undefined ? undefined : Number(grpcStatus),
    grpcMessage: grpcMessage === undefined ? undefined : decodeURIComponent(String(grpcMessage)),
    body: Buffer.concat(body),
    rstCode: stream.rstCode,
  }
}
