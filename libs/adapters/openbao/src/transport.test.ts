import { type Socket } from 'node:net'
import { inspect } from 'node:util'
import { Secret } from '@sealwright/secret'
import { freePort, temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import {
  call,
  clientFor,
  closeAll,
  failureOf,
  LEADER_BODY,
  openClient,
  serveRaw,
  TOKEN_TEXT,
  whole,
} from './testing/raw-server.ts'
import { openTransport, type Request } from './transport.ts'

afterEach(closeAll)

describe('a call', () => {
  it('sends the token, the guard header and nothing else of note', async () => {
    const [bao, { requests }] = await clientFor(whole('200 OK', LEADER_BODY))
    expect(await bao.leader(call())).toEqual({
      isSelf: true,
      leaderAddress: 'https://a:8200',
      raftCommittedIndex: undefined,
      raftAppliedIndex: undefined,
    })
    expect(requests).toHaveLength(1)
    expect(requests[0]).toMatch(/^GET \/v1\/sys\/leader HTTP\/1\.1\r\n/)
    expect(requests[0]).toContain(`X-Vault-Token: ${TOKEN_TEXT}\r\n`)
    expect(requests[0]).toContain('X-Vault-Request: true\r\n')
  })

  it('works over a Unix socket', async () => {
    await using folder = await temporaryFolder()
    const { address } = await serveRaw(whole('200 OK', LEADER_BODY), folder.join('api.sock'))
    expect((await openClient({ address }).leader(call())).isSelf).toBe(true)
    await closeAll()
  })

  it('does not send a token that would break the header', async () => {
    const [bao, { requests }] = await clientFor(whole('200 OK', LEADER_BODY))
    for (const text of ['', 's.abc\n', 'a\r\nX-Evil: 1', 'ä', 'a b']) {
      const odd = new Secret(new TextEncoder().encode(text))
      expect((await failureOf(bao.haStatus({ ...call(), token: odd }))).code).toBe('OPENBAO_REQUEST_INVALID')
    }
    expect(requests).toEqual([])
  })
})

describe('limits', () => {
  const silences: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['no headers come', () => undefined],
    ['the headers do not end', socket => socket.write('HTTP/1.1 200 OK\r\nX-Slow: ')],
    ['no body comes', socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')],
    ['the body does not end', socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"a"')],
  ]

  it.each(silences)('tells a timeout when %s, and closes the connection', async (_, answer) => {
    const [bao, raw] = await clientFor(answer)
    const failure = await failureOf(bao.sealStatus(call(100)))
    expect(failure).toMatchObject({
      code: 'OPENBAO_TIMEOUT',
      message: 'GET sys/seal-status: no answer in 100 ms',
    })
    await waitUntil(() => raw.sockets.size === 0, { what: 'the connection to close', timeoutMs: 2000 })
  })

  it.each(silences)('tells a cancellation from a timeout when %s', async (_, answer) => {
    const controller = new AbortController()
    const [bao, raw] = await clientFor(socket => {
      answer(socket)
      controller.abort(new Error('enough'))
    })
    const failure = await failureOf(bao.sealStatus({ signal: controller.signal }))
    expect(failure.code).toBe('OPENBAO_CANCELLED')
    await waitUntil(() => raw.sockets.size === 0, { what: 'the connection to close', timeoutMs: 2000 })
  })

  it('sends nothing when it is cancelled beforehand', async () => {
    const [bao, raw] = await clientFor(whole('200 OK', '{}'))
    expect((await failureOf(bao.health({ signal: AbortSignal.abort() }))).code).toBe('OPENBAO_CANCELLED')
    expect(raw.requests).toEqual([])
  })

  it('takes the time of a slow drip into account', async () => {
    const [bao] = await clientFor(socket => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const drip = setInterval(() => socket.write('1\r\n \r\n'), 10)
      socket.on('close', () => {
        clearInterval(drip)
      })
    })
    expect((await failureOf(bao.leader(call(150)))).code).toBe('OPENBAO_TIMEOUT')
  })

  it('stops reading a body without end, and closes the connection', async () => {
    const [bao, raw] = await clientFor(
      socket => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        const more = (): void => {
          while (socket.writable && socket.write(`1000\r\n${'x'.repeat(0x1000)}\r\n`));
        }
        socket.on('drain', more)
        more()
      },
      { maxResponseBytes: 50_000 },
    )
    expect(await failureOf(bao.leader(call()))).toMatchObject({
      code: 'OPENBAO_RESPONSE_TOO_LARGE',
      message: 'GET sys/leader: more than 50000 bytes of answer',
    })
    await waitUntil(() => raw.sockets.size === 0, { what: 'the connection to close', timeoutMs: 2000 })
  })

  it('takes a body of exactly the cap and refuses one byte more', async () => {
    const body = LEADER_BODY.padEnd(500)
    const [bao, raw] = await clientFor(whole('200 OK', body), { maxResponseBytes: 500 })
    expect((await bao.leader(call())).isSelf).toBe(true)
    const small = openClient({ address: raw.address, maxResponseBytes: 499 })
    expect((await failureOf(small.leader(call()))).code).toBe('OPENBAO_RESPONSE_TOO_LARGE')
  })

  it('tells a server that is not there', async () => {
    const nobody = openClient({ address: `http://127.0.0.1:${await freePort()}` })
    expect(await failureOf(nobody.health(call()))).toMatchObject({
      code: 'OPENBAO_UNREACHABLE',
      message: 'GET sys/health: no connection (ECONNREFUSED)',
    })
    const noSocket = openClient({ address: 'unix:/nonexistent/api.sock' })
    expect((await failureOf(noSocket.health(call()))).code).toBe('OPENBAO_UNREACHABLE')
  })

  it('ends waiting calls when it is closed', async () => {
    const [bao, raw] = await clientFor(() => undefined)
    const waiting = failureOf(bao.health(call()))
    await waitUntil(() => raw.requests.length === 1, { what: 'the request', timeoutMs: 2000 })
    await bao.close()
    expect((await waiting).code).toBe('OPENBAO_CONNECTION_CUT')
  })
})

describe('a bug on our side', () => {
  const request: Request = { method: 'GET', path: 'sys/health', call: { signal: AbortSignal.abort() }, expected: [200] }
  const live = new AbortController().signal
  /** What looks like a signal, and is none. */
  const noSignal = { aborted: false, throwIfAborted: () => undefined } as unknown as AbortSignal
  const outOfRange = {
    get byteLength(): number {
      throw new RangeError('a length that there is not')
    },
  } as unknown as Secret

  it.each<[string, Partial<Request>, object]>([
    ['a TypeError', { call: { signal: noSignal } }, { name: 'TypeError' }],
    ['a RangeError', { call: { signal: live }, secrets: () => [outOfRange] }, { name: 'RangeError' }],
    [
      'what undici says of its arguments',
      { call: { signal: live }, body: 7 as never },
      { code: 'UND_ERR_INVALID_ARG' },
    ],
  ])('passes through as it is, and not as a connection that was cut: %s', async (_, wrong, expected) => {
    const { address } = await serveRaw(whole('503 Service Unavailable', '{"errors":["overloaded"]}'))
    const transport = openTransport({ address })
    try {
      await expect(transport.send({ ...request, ...wrong })).rejects.toMatchObject(expected)
    } finally {
      await transport.close()
    }
  })

  it('is told from a call that was cancelled with a TypeError as the reason', async () => {
    const transport = openTransport({ address: 'http://127.0.0.1:1' })
    const stop = new AbortController()
    stop.abort(new TypeError('the reason of a caller'))
    const cancelled = transport.send({ ...request, call: { signal: stop.signal } })
    await expect(cancelled).rejects.toMatchObject({ code: 'OPENBAO_CANCELLED' })
    await transport.close()
  })
})

describe('answers that are no answers', () => {
  const cuts: readonly (readonly [string, string])[] = [
    ['at once', ''],
    ['in the headers', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['in a body of known length', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"is_self":true}'],
    ['in a chunked body', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"is_'],
  ]

  it.each(cuts)('tells a connection that is cut %s', async (_, text) => {
    const [bao] = await clientFor(socket => socket.end(text))
    expect((await failureOf(bao.leader(call()))).code).toBe('OPENBAO_CONNECTION_CUT')
  })

  it('tells a connection that is reset', async () => {
    const [bao] = await clientFor(socket => socket.resetAndDestroy())
    expect((await failureOf(bao.leader(call()))).code).toBe('OPENBAO_CONNECTION_CUT')
  })

  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a broken chunk size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}'],
    ['endless headers', `HTTP/1.1 200 OK\r\n${'X-Much: much\r\n'.repeat(5000)}`],
  ])('refuses %s', async (_, text) => {
    const [bao] = await clientFor(socket => socket.write(text))
    expect((await failureOf(bao.leader(call()))).code).toBe('OPENBAO_RESPONSE_MALFORMED')
  })

  it.each([
    ['nothing', ''],
    ['a page', '<html>Welcome</html>'],
    ['half an object', '{"is_self":true,"leader_address":"https://sec'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a missing field', '{}'],
    ['another type', '{"is_self":"true"}'],
    ['a field of the prototype', '{"__proto__":{"is_self":true}}'],
    ['a negative index', '{"is_self":true,"raft_committed_index":-1}'],
  ])('refuses a body that is %s', async (_, body) => {
    const [bao] = await clientFor(whole('200 OK', body))
    const failure = await failureOf(bao.leader(call()))
    expect(failure.code).toBe('OPENBAO_RESPONSE_MALFORMED')
    expect(inspect(failure)).not.toContain('https://sec')
  })

  it('refuses a body that is not UTF-8', async () => {
    const [bao] = await clientFor(socket => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n')
      socket.write(Uint8Array.of(0x22, 0xff, 0x22))
    })
    expect((await failureOf(bao.leader(call()))).code).toBe('OPENBAO_RESPONSE_MALFORMED')
  })
})
