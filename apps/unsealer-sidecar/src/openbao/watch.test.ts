import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo } from 'node:net'
import { type OpenBaoWatch, watchOpenBao } from './watch.ts'

const { signal } = new AbortController()
const BLOB = Uint8Array.of(1, 2, 3, 250)

/** An answer of `sys/health`, by status. */
const HEALTH: Readonly<Record<string, readonly [number, object]>> = {
  active: [200, { initialized: true, sealed: false, standby: false, version: '2.7.2', cluster_id: 'c' }],
  standby: [429, { initialized: true, sealed: false, standby: true, version: '2.7.2', cluster_id: 'c' }],
  sealed: [503, { initialized: true, sealed: true, standby: true, version: '2.7.2' }],
  uninitialised: [501, { initialized: false, sealed: true, standby: true, version: '2.7.2' }],
  failing: [500, { errors: ['error checking health'] }],
}

let server: Server | undefined
let asked: string[]
let watch: OpenBaoWatch
let state: string
/** What a question for a challenge is answered with. */
let challenge: readonly [number, object]

beforeEach(async () => {
  asked = []
  state = 'active'
  challenge = [200, { data: { challenge: Buffer.from(BLOB).toString('base64') } }]
  server = createServer(answer)
  const listening = Promise.withResolvers<undefined>()
  server.listen(0, '127.0.0.1', () => {
    listening.resolve(undefined)
  })
  await listening.promise
  watch = watchOpenBao({ address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})

afterEach(async () => {
  await watch[Symbol.asyncDispose]()
  await stopServer()
})

async function stopServer(): Promise<void> {
  const stopped = server
  server = undefined
  if (stopped === undefined) return
  const closed = Promise.withResolvers<undefined>()
  stopped.close(() => {
    closed.resolve(undefined)
  })
  stopped.closeAllConnections()
  await closed.promise
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  let body = ''
  request.setEncoding('utf8').on('data', (text: string) => {
    body += text
  })
  request.on('end', () => {
    const { method = '', url = '', headers } = request
    asked.push(`${method} ${url} ${body}`.trim())
    if (headers['x-vault-token'] !== undefined) asked.push('with a token')
    const [status, content] = (url === '/v1/sys/health' ? HEALTH[state] : challenge) ?? [404, {}]
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content))
  })
}

describe('what the leader has just encrypted', () => {
  it.each(['active', 'standby'])(
    'is asked for without a token, under one fixed name, by a node that is %s',
    async now => {
      state = now
      expect(await watch.leaderBlob(signal)).toEqual(BLOB)
      expect(await watch.leaderBlob(signal)).toEqual(BLOB)
      const [, first, , second] = asked
      expect(first).toBe('POST /v1/sys/storage/raft/bootstrap/challenge {"server_id":"sealwright-agent"}')
      expect(second).toBe(first)
      expect(asked).toHaveLength(4)
    },
  )

  it.each(['sealed', 'uninitialised', 'failing'])('is not asked for by a node that is %s', async now => {
    state = now
    expect(await watch.leaderBlob(signal)).toBeUndefined()
    expect(asked).toEqual(['GET /v1/sys/health'])
  })

  it.each<[string, readonly [number, object], string]>([
    ['is refused', [403, { errors: ['permission denied'] }], 'OPENBAO_PERMISSION_DENIED'],
    ['is no base64', [200, { data: { challenge: '!' } }], 'OPENBAO_RESPONSE_MALFORMED'],
    ['is missing', [200, { data: {} }], 'OPENBAO_RESPONSE_MALFORMED'],
    ['comes from a server that is no raft cluster', [404, { errors: [] }], 'OPENBAO_NOT_FOUND'],
  ])('is a failure by its code where it %s', async (_, given, code) => {
    challenge = given
    await expect(watch.leaderBlob(signal)).rejects.toMatchObject({ code })
    challenge = [200, { data: { challenge: Buffer.from(BLOB).toString('base64') } }]
    expect(await watch.leaderBlob(signal)).toEqual(BLOB)
  })

  it('is a failure while nobody answers', async () => {
    await stopServer()
    await expect(watch.leaderBlob(signal)).rejects.toMatchObject({ code: 'OPENBAO_UNREACHABLE' })
  })

  it('is not waited for after its caller went away', async () => {
    await expect(watch.leaderBlob(AbortSignal.abort(new Error('gone')))).rejects.toThrow()
    expect(asked).toEqual([])
  })
})

describe('a look at the OpenBao beside the agent', () => {
  it.each([
    ['active', 'initialised'],
    ['standby', 'initialised'],
    ['sealed', 'initialised'],
    // A server that fails to read its own data has some, and joins nobody.
    ['failing', 'initialised'],
    ['uninitialised', 'uninitialised'],
  ])('tells whether one that is %s holds the data of a cluster: %s', async (now, kind) => {
    state = now
    expect(await watch.membership(signal)).toEqual({ kind })
  })

  it('does not know what one holds that does not answer', async () => {
    await stopServer()
    expect(await watch.membership(signal)).toMatchObject({
      kind: 'unknown',
      reason: expect.stringContaining('OPENBAO_UNREACHABLE') as unknown,
    })
    expect(await watch.view(signal)).toMatchObject({ state: 'unreachable', code: 'OPENBAO_UNREACHABLE' })
  })

  it.each(['active', 'standby', 'sealed', 'uninitialised'])('shows that it is %s', async now => {
    state = now
    expect(await watch.view(signal)).toMatchObject({ state: now, version: '2.7.2' })
  })

  it('shows that it is failing, in its own words', async () => {
    state = 'failing'
    expect(await watch.view(signal)).toMatchObject({
      ...{ state: 'unreachable', code: 'OPENBAO_FAILING', message: 'error checking health' },
    })
  })
})
