import { stat } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import {
  proxySocket,
  type SocketProxy,
  type SocketProxyOptions,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from './index.ts'

let folder: TemporaryFolder
let echo: Server
let proxy: SocketProxy | undefined
const clients: Socket[] = []

beforeEach(async () => {
  folder = await temporaryFolder()
  // Sends everything back with the eighth bit set, and ends when the client does.
  echo = createServer(socket => {
    socket.on('data', (bytes: Buffer) => socket.write(bytes.map(byte => byte | 0x80)))
    socket.on('error', () => socket.destroy())
  })
  const { promise, resolve } = Promise.withResolvers<undefined>()
  echo.listen(folder.join('target'), () => {
    resolve(undefined)
  })
  await promise
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await proxy?.close()
  proxy = undefined
  const { promise, resolve } = Promise.withResolvers<undefined>()
  echo.close(() => {
    resolve(undefined)
  })
  await promise
  await folder.remove()
})

async function startProxy(hooks: Pick<SocketProxyOptions, 'onClientData' | 'onServerData'> = {}): Promise<SocketProxy> {
  proxy = await proxySocket({ listenPath: folder.join('proxy'), targetPath: folder.join('target'), ...hooks })
  return proxy
}

interface Client {
  readonly socket: Socket
  readonly received: () => Buffer
  readonly closed: () => boolean
}

function connect(): Client {
  const socket = createConnection(folder.join('proxy'))
  clients.push(socket)
  let received = Buffer.alloc(0)
  let closed = false
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes])
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    closed = true
  })
  return { socket, received: () => received, closed: () => closed }
}

async function waitForHex(client: Client, hex: string): Promise<void> {
  await waitUntil(() => client.received().toString('hex') === hex, { what: `the bytes ${hex}`, timeoutMs: 2000 })
}

describe('proxySocket', () => {
  it('passes bytes both ways and records them', async () => {
    const { recorded } = await startProxy()
    const client = connect()
    client.socket.write(Buffer.from('010203', 'hex'))
    await waitForHex(client, '818283')
    expect(recorded.map(({ bytes, ...rest }) => ({ ...rest, hex: Buffer.from(bytes).toString('hex') }))).toEqual([
      { connection: 0, direction: 'client-to-server', hex: '010203' },
      { connection: 0, direction: 'server-to-client', hex: '818283' },
    ])
    expect((await stat(folder.join('proxy'))).mode & 0o777).toBe(0o600)
  })

  it('passes on what its hooks answer: other bytes, or none', async () => {
    const { recorded } = await startProxy({
      onClientData: bytes => (bytes[0] === 9 ? null : bytes.map(byte => byte + 1)),
      onServerData: bytes => Uint8Array.of(0, ...bytes),
    })
    const client = connect()
    client.socket.write(Uint8Array.of(9))
    await waitUntil(() => recorded.length === 1, { what: 'the dropped byte', timeoutMs: 2000 })
    client.socket.write(Uint8Array.of(1))
    await waitForHex(client, '0082')
  })

  it('keeps the order when a hook answers late', async () => {
    const late = Promise.withResolvers<undefined>()
    const { recorded } = await startProxy({
      onClientData: async bytes => {
        if (bytes[0] === 1) await late.promise
        return bytes
      },
    })
    const client = connect()
    client.socket.write(Uint8Array.of(1))
    await waitUntil(() => recorded.length === 1, { what: 'the delayed byte', timeoutMs: 2000 })
    client.socket.write(Uint8Array.of(2))
    expect(client.received()).toHaveLength(0)
    late.resolve(undefined)
    await waitForHex(client, '8182')
  })

  it('carries a large stream unchanged', async () => {
    await startProxy()
    const client = connect()
    const sent = Buffer.alloc(3_000_000, 0x41)
    client.socket.end(sent)
    await waitUntil(() => client.received().length === sent.length, { what: 'the echo', timeoutMs: 5000 })
    expect(client.received().equals(Buffer.alloc(sent.length, 0xc1))).toBe(true)
  })

  it('cuts connections and takes new ones', async () => {
    const cutting = await startProxy()
    const first = connect()
    first.socket.write(Uint8Array.of(1))
    await waitForHex(first, '81')
    cutting.cut()
    await waitUntil(first.closed, { what: 'the cut', timeoutMs: 2000 })
    expect(cutting.connectionCount()).toBe(0)
    const second = connect()
    second.socket.write(Uint8Array.of(2))
    await waitForHex(second, '82')
  })

  it('closes the client when a hook throws or the target is not there', async () => {
    await startProxy({
      onClientData: () => {
        throw new Error('no')
      },
    })
    const client = connect()
    client.socket.write(Uint8Array.of(1))
    await waitUntil(client.closed, { what: 'the end', timeoutMs: 2000 })
    await proxy?.close()
    proxy = await proxySocket({ listenPath: folder.join('proxy'), targetPath: folder.join('nobody') })
    const other = connect()
    await waitUntil(other.closed, { what: 'the end', timeoutMs: 2000 })
  })
})
