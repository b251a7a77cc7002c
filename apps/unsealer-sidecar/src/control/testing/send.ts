import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'

/** An answer, byte for byte. */
export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  /** In pieces, as it is sent. */
  readonly body?: readonly (string | Uint8Array)[]
}

/** Sends a request over a Unix socket, as it is. */
export async function send(socketPath: string, asked: RawRequest): Promise<RawAnswer> {
  const { method, path, headers = {}, body = [] } = asked
  // Of a method that has no body as a rule, Node sends one only with its length.
  const length = body.reduce((total, piece) => total + Buffer.byteLength(piece), 0)
  const framing = length > 0 && !['POST', 'PUT'].includes(method) ? { 'content-length': length } : {}
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
  const outgoing = request(
    { socketPath, method, path, headers: { ...framing, ...headers }, agent: false },
    response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
      })
    },
  )
  outgoing.on('error', reject)
  for (const piece of body) outgoing.write(piece)
  outgoing.end()
  return await promise
}

/** The same with a body of bytes. */
export async function sendBytes(
  socketPath: string,
  method: string,
  path: string,
  body: string | Uint8Array,
): Promise<RawAnswer> {
  return await send(socketPath, { method, path, headers: { 'content-type': 'application/octet-stream' }, body: [body] })
}

/** The same with a body of JSON, and the answer as JSON. */
export async function sendJson(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ readonly status: number; readonly json: unknown }> {
  const answer = await send(socketPath, {
    ...{ method, path },
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: [JSON.stringify(body)] }),
  })
  return { status: answer.status, json: answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString()) }
}
