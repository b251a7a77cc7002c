import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { freePort } from './port.ts'
import { type SlowProxy, slowProxy, waitUntil } from './index.ts'

let port: number
let server: Server
let proxy: SlowProxy

beforeEach(async () => {
  port = await freePort()
  server = createServer((request, response) => response.end(request.url)).listen({ port, host: '127.0.0.1' })
  await once(server, 'listening')
  proxy = await slowProxy(`http://127.0.0.1:${port}`, 0)
})

afterEach(async () => {
  await proxy[Symbol.asyncDispose]()
  server.closeAllConnections()
  const closed = once(server, 'close')
  server.close()
  await closed
})

const ask = async (path: string): Promise<string> => await (await fetch(`${proxy.address}${path}`)).text()

describe('slowProxy', () => {
  it('lets requests and answers pass', async () => {
    expect(await ask('/a')).toBe('/a')
  })

  it('holds an answer back for as long as is set', async () => {
    proxy.setDelay(200)
    const startMs = performance.now()
    expect(await ask('/late')).toBe('/late')
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(199)
  })

  it('holds back many at once, each for itself', async () => {
    proxy.setDelay(60_000)
    const asked = ['/1', '/2', '/3'].map(async path => await ask(path).catch((error: unknown) => error))
    await waitUntil(() => proxy.connectionCount() === 3 && proxy.bytesHeldBack() > 0, {
      what: 'answers to wait',
      timeoutMs: 10_000,
    })
    await proxy[Symbol.asyncDispose]()
    for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ message: 'fetch failed' })
    proxy = await slowProxy(`http://127.0.0.1:${port}`, 0)
  })

  it('ends what waits when it is closed', async () => {
    expect(await ask('/first')).toBe('/first')
    await proxy[Symbol.asyncDispose]()
    await expect(ask('/second')).rejects.toThrow('fetch failed')
    proxy = await slowProxy(`http://127.0.0.1:${port}`, 0)
  })
})
