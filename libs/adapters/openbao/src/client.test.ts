import { inspect } from 'node:util'
import { type Secret } from '@sealwright/secret'
import { call, clientFor, closeAll, failureOf, whole } from './testing/raw-server.ts'

afterEach(closeAll)

describe('statuses', () => {
  it('never follows a redirect, and tells where it points without the path', async () => {
    const [bao, raw] = await clientFor(whole('307 Temporary Redirect', '', 'Location: https://dead:8200/v1/x?t=1\r\n'))
    expect(await failureOf(bao.haStatus(call()))).toMatchObject({
      code: 'OPENBAO_REDIRECTED',
      status: 307,
      redirectOrigin: 'https://dead:8200',
      message: 'GET sys/ha-status: status 307 towards https://dead:8200',
    })
    expect(raw.requests).toHaveLength(1)
  })

  it.each(['', 'Location: /v1/sys/leader\r\n', 'Location: file:///etc/passwd\r\n'])(
    'tells a redirect without a usable origin (%j)',
    async header => {
      const [bao] = await clientFor(whole('307 Temporary Redirect', '', header))
      expect(await failureOf(bao.leader(call()))).toMatchObject({
        code: 'OPENBAO_REDIRECTED',
        redirectOrigin: undefined,
      })
    },
  )

  it.each([
    [400, '{"errors":["bad"]}', 'OPENBAO_BAD_REQUEST'],
    [403, '{"errors":["permission denied"]}', 'OPENBAO_PERMISSION_DENIED'],
    [404, '{"errors":[]}', 'OPENBAO_NOT_FOUND'],
    [429, '{"errors":["rate limit quota exceeded"]}', 'OPENBAO_RATE_LIMITED'],
    [503, '{"errors":["Vault is sealed"]}', 'OPENBAO_SEALED'],
    [503, '<html>no backend</html>', 'OPENBAO_STATUS'],
    [500, '{"errors":["internal error"]}', 'OPENBAO_STATUS'],
    [502, '<html>bad gateway</html>', 'OPENBAO_STATUS'],
    [201, '{}', 'OPENBAO_STATUS'],
    [299, '{}', 'OPENBAO_STATUS'],
    [418, '{}', 'OPENBAO_STATUS'],
  ])('tells %i with %s as %s', async (status, body, code) => {
    const [bao] = await clientFor(whole(`${status} X`, body))
    expect(await failureOf(bao.leader(call()))).toMatchObject({ code, status })
  })

  it('quotes what the server says, shortened and on one line', async () => {
    const errors = ['a\nb\u001b[31mc', 'x'.repeat(5000), 'third', { not: 'text' }, 'fourth', 'fifth']
    const [bao] = await clientFor(whole('400 X', JSON.stringify({ errors })))
    const { message } = await failureOf(bao.leader(call()))
    expect(message).toBe(`GET sys/leader: status 400: a b [31mc; ${'x'.repeat(300)}…; third; fourth`)
  })
})

describe('health', () => {
  const body = (fields: object): string =>
    JSON.stringify({ initialized: true, sealed: false, standby: false, version: '2.7.2', cluster_id: 'c', ...fields })

  it.each([
    [200, body({}), { kind: 'active', version: '2.7.2', clusterId: 'c' }],
    [429, body({ standby: true }), { kind: 'standby', version: '2.7.2', clusterId: 'c' }],
    [501, body({ initialized: false, sealed: true, standby: true }), { kind: 'uninitialised', version: '2.7.2' }],
    [503, body({ sealed: true, standby: true }), { kind: 'sealed', version: '2.7.2' }],
    [500, '{"errors":["error checking health"]}', { kind: 'failing', errors: ['error checking health'] }],
  ])('reads %i', async (status, text, expected) => {
    const [bao] = await clientFor(whole(`${status} X`, text))
    expect(await bao.health(call())).toEqual(expected)
  })

  it.each([
    [429, '{"errors":["request path \\"sys/health\\": rate limit quota exceeded"]}', 'OPENBAO_RATE_LIMITED'],
    [429, '{"errors":[]}', 'OPENBAO_RESPONSE_MALFORMED'],
    [200, body({ sealed: true }), 'OPENBAO_RESPONSE_MALFORMED'],
    [200, body({ standby: true }), 'OPENBAO_RESPONSE_MALFORMED'],
    [503, body({}), 'OPENBAO_RESPONSE_MALFORMED'],
    [503, '<html>no backend</html>', 'OPENBAO_RESPONSE_MALFORMED'],
    [200, '<html>captive portal</html>', 'OPENBAO_RESPONSE_MALFORMED'],
    [472, body({ standby: true }), 'OPENBAO_STATUS'],
  ])('does not take %i with %s for a state', async (status, text, code) => {
    const [bao] = await clientFor(whole(`${status} X`, text))
    expect((await failureOf(bao.health(call()))).code).toBe(code)
  })
})

describe('init', () => {
  const answer = JSON.stringify({
    keys: [],
    root_token: 's.root-token',
    recovery_keys: ['00ff'],
    recovery_keys_base64: ['AP8=', 'Af8='],
  })

  it('gives secrets that do not show', async () => {
    const [bao, { requests }] = await clientFor(whole('200 OK', answer))
    const result = await bao.init({ recoveryShares: 2, recoveryThreshold: 2 }, call())
    const text = (secret: Secret): string => secret.reveal(bytes => Buffer.from(bytes).toString())
    expect(text(result.rootToken)).toBe('s.root-token')
    expect(result.recoveryKeys.map(text)).toEqual(['AP8=', 'Af8='])
    for (const printed of [inspect(result, { depth: 10, showHidden: true }), JSON.stringify(result)]) {
      expect(printed).not.toMatch(/root-token|AP8/)
    }
    expect(requests[0]).toMatch(/^POST \/v1\/sys\/init /)
  })

  it('does not show an answer that ends as bad HTTP', async () => {
    const [bao] = await clientFor(socket => {
      socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"roo\r\n!! t_token":"s.root-token"`)
    })
    const failure = await failureOf(bao.init({ recoveryShares: 1, recoveryThreshold: 1 }, call()))
    expect(failure.code).toBe('OPENBAO_RESPONSE_MALFORMED')
    expect(inspect(failure, { depth: 10, showHidden: true })).not.toContain('root-token')
  })

  it.each([
    ['no token', '{"recovery_keys_base64":[]}'],
    ['an empty token', '{"root_token":"","recovery_keys_base64":[]}'],
    ['no keys', '{"root_token":"s.root-token"}'],
    ['a broken body', answer.slice(0, -1)],
    ['something behind', `${answer}x`],
  ])('refuses %s without showing anything', async (_, body) => {
    const [bao] = await clientFor(whole('200 OK', body))
    const failure = await failureOf(bao.init({ recoveryShares: 1, recoveryThreshold: 1 }, call()))
    expect(failure.code).toBe('OPENBAO_RESPONSE_MALFORMED')
    expect(inspect(failure)).not.toMatch(/root-token|AP8/)
  })

  it.each([
    [0, 0],
    [3, 4],
    [256, 2],
    [2, 1],
    [1.5, 1],
    [3, Number.NaN],
  ])('does not ask for %d shares with a threshold of %d', async (recoveryShares, recoveryThreshold) => {
    const [bao, raw] = await clientFor(whole('200 OK', answer))
    const failure = await failureOf(bao.init({ recoveryShares, recoveryThreshold }, call()))
    expect(failure.code).toBe('OPENBAO_REQUEST_INVALID')
    expect(raw.requests).toEqual([])
  })
})

describe('kv', () => {
  it.each(['', '/a', 'a//b', '../sys/seal', 'a/./b', '\ud800'])('does not ask for %j', async path => {
    const [bao, raw] = await clientFor(whole('200 OK', '{}'))
    expect((await failureOf(bao.kvGet({ mount: 'kv', path }, call()))).code).toBe('OPENBAO_REQUEST_INVALID')
    expect(raw.requests).toEqual([])
  })

  it('encodes what a path may not hold', async () => {
    const [bao, raw] = await clientFor(whole('404 X', '{"errors":[]}'))
    expect(await bao.kvGet({ mount: 'kv', path: 'a b/c?d#é' }, call())).toBeNull()
    expect(raw.requests[0]).toMatch(/^GET \/v1\/kv\/data\/a%20b\/c%3Fd%23%C3%A9 /)
  })

  it('tells a missing engine from a missing secret', async () => {
    const [bao] = await clientFor(whole('404 X', '{"errors":["no handler for route \\"kv/data/a\\""]}'))
    expect((await failureOf(bao.kvGet({ mount: 'kv', path: 'a' }, call()))).code).toBe('OPENBAO_NOT_FOUND')
  })
})
