import { type AddressInfo, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { Secret } from '@sealwright/secret'
import { type OpenBaoClient, openBaoClient } from '../client.ts'
import { OpenBaoError } from '../error.ts'
import { type AuthenticatedCall, type OpenBaoClientOptions } from '../transport.ts'

/** What the tests' token holds; no error may show it. */
export const TOKEN_TEXT = 's.token-that-must-not-show'

/** A server that says whatever a test wants, byte by byte. */
export interface RawServer {
  readonly address: string
  /** Heads and bodies as they came in. */
  readonly requests: readonly string[]
  /** Live connections. */
  readonly sockets: ReadonlySet<Socket>
}

/** Says something to a client whose request came in whole, head and body. */
export type RawAnswer = (socket: Socket, request: string) => unknown

const closers: (() => Promise<void>)[] = []

/** For `afterEach`: ends all clients and servers of a test. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close()
}

/** Listens on a free loopback port, or on the Unix socket `path`. */
export async function serveRaw(answer: RawAnswer, path?: string): Promise<RawServer> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    let received = ''
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.on('data', bytes => {
      received += bytes.toString()
      if (!isWhole(received)) return
      const request = received
      received = ''
      requests.push(request)
      answer(socket, request)
    })
  })
  const listening = Promise.withResolvers<undefined>()
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path }, () => {
    listening.resolve(undefined)
  })
  await listening.promise
  closers.push(async () => {
    const closed = Promise.withResolvers<undefined>()
    server.close(() => {
      closed.resolve(undefined)
    })
    for (const socket of sockets) socket.destroy()
    await closed.promise
  })
  const address = path === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${path}`
  return { address, requests, sockets }
}

function isWhole(received: string): boolean {
  const headEnd = received.indexOf('\r\n\r\n')
  const [, length = '0'] = /^content-length: (\d+)$/im.exec(received) ?? []
  return headEnd >= 0 && Buffer.byteLength(received.slice(headEnd + 4)) >= Number(length)
}

/** A client that {@link closeAll} closes. */
export function openClient(options: OpenBaoClientOptions): OpenBaoClient {
  const client = openBaoClient(options)
  closers.push(client.close)
  return client
}

/** A raw server and a client of it. */
export async function clientFor(
  answer: RawAnswer,
  options: Partial<OpenBaoClientOptions> = {},
): Promise<[OpenBaoClient, RawServer]> {
  const raw = await serveRaw(answer)
  return [openClient({ address: raw.address, timeoutMs: 5_000, ...options }), raw]
}

/** A well-formed answer. */
export function whole(status: string, body: string, headers = ''): RawAnswer {
  const length = Buffer.byteLength(body)
  return socket => socket.write(`HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\n${headers}\r\n${body}`)
}

/** Options of a call with the tests' token. */
export function call(timeoutMs?: number): AuthenticatedCall {
  const token = new Secret(new TextEncoder().encode(TOKEN_TEXT))
  return { signal: new AbortController().signal, token, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

/** The error of a call that must fail, and that must not show the token. */
export async function failureOf(promise: Promise<unknown>): Promise<OpenBaoError> {
  const outcome = await promise.then(
    value => value,
    (error: unknown) => error,
  )
  if (!(outcome instanceof OpenBaoError)) throw new Error(`no OpenBaoError: ${inspect(outcome)}`)
  if (inspect(outcome, { depth: 10, showHidden: true }).includes(TOKEN_TEXT)) throw new Error('the token shows')
  return outcome
}

/** An answer of `sys/leader` with more in it than we use. */
export const LEADER_BODY = JSON.stringify({ is_self: true, leader_address: 'https://a:8200', new_field: [1] })
