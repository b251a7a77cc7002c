import { createServer } from 'node:http2'

/** What it says to each Status: a key id, a gRPC status (its number) by which it refuses, or nothing at all. */
export type StatusAnswer = { readonly keyId: string } | { readonly grpcStatus: number } | 'nothing'

const LENGTH_DELIMITED = 2

/** A KMS plugin in a state that a real one cannot be brought into by hand. Only its Status answers. */
export async function startStatusPlugin(socketPath: string, answer: StatusAnswer): Promise<AsyncDisposable> {
  const server = createServer()
  server.on('sessionError', () => undefined)
  server.on('stream', stream => {
    stream.on('error', () => undefined)
    if (answer === 'nothing') return
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': 'keyId' in answer ? 0 : answer.grpcStatus })
    })
    stream.end('keyId' in answer ? statusFrame(answer.keyId) : undefined)
  })
  await new Promise<void>(resolve => {
    server.listen(socketPath, resolve)
  })
  return {
    async [Symbol.asyncDispose]() {
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function statusFrame(keyId: string): Uint8Array {
  const field = (number: number, text: string): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | LENGTH_DELIMITED, text.length]), Buffer.from(text)])
  const status = Buffer.concat([field(1, 'v2'), field(2, 'no way to OpenBao'), field(3, keyId)])
  return Buffer.concat([Buffer.from([0, 0, 0, 0, status.byteLength]), status])
}
