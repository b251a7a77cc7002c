import { createServer, type ServerHttp2Stream } from 'node:http2'
import { type Socket } from 'node:net'

const LENGTH_DELIMITED = 2

/** What a plugin says to each Status: a key id, a gRPC status (its number) by which it refuses, or nothing at all. */
export type StatusAnswer = { readonly keyId: string } | { readonly grpcStatus: number } | 'nothing'

/** A KMS plugin in a state that a real one cannot be brought into by hand. Only its Status answers. */
export async function startStatusPlugin(socketPath: string, answer: StatusAnswer): Promise<AsyncDisposable> {
  return await answering(socketPath, stream => {
    if (answer === 'nothing') return
    if ('keyId' in answer) answerUnary(stream, framed(statusOf(answer.keyId)))
    else answerUnary(stream, Buffer.alloc(0), answer.grpcStatus)
  })
}

/** Something that speaks HTTP/2 on a socket. */
export async function answering(
  socketPath: string,
  answer: (stream: ServerHttp2Stream) => void,
): Promise<AsyncDisposable> {
  const server = createServer()
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.on('stream', stream => {
    stream.on('error', () => undefined)
    answer(stream)
  })
  await new Promise<void>(resolve => {
    server.listen(socketPath, resolve)
  })
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** Sends a body, and a gRPC status in its trailers. */
export function answerUnary(stream: ServerHttp2Stream, body: Uint8Array, grpcStatus = 0): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': String(grpcStatus) })
  })
  stream.end(body)
}

/** An uncompressed message of at most 255 bytes, as gRPC frames it. */
export function framed(message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0, 0, 0, 0, message.byteLength]), message])
}

function statusOf(keyId: string): Uint8Array {
  const field = (number: number, text: string): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | LENGTH_DELIMITED, text.length]), Buffer.from(text)])
  return Buffer.concat([field(1, 'v2'), field(2, 'no way to OpenBao'), field(3, keyId)])
}
