import { once } from 'node:events'
import { connect } from 'node:net'
import { type OutgoingHttpHeaders } from 'node:http'
import fc from 'fast-check'
import { errorCodeOf } from '@sealwright/system-error'
import { controlScope } from './testing/control-scope.ts'
import { send, sendBytes, sendJson } from './testing/send.ts'

/** An error of an operation, as its library throws it. */
class Refused extends Error {
  readonly code: string
  constructor(code: string, message = `the message of ${code}`) {
    super(message, { cause: new Error('never told') })
    this.code = code
  }
}

const bytes: OutgoingHttpHeaders = { 'content-type': 'application/octet-stream' }
const json: OutgoingHttpHeaders = { 'content-type': 'application/json' }
const SHARE = `sw-share-1-${Array.from({ length: 24 }, () => 'secret').join('-')}`

describe('a refusal of the control API', () => {
  it.each([
    ['CUSTODY_SEALED', 503],
    ['TPM_UNREACHABLE', 503],
    ['STORE_DISK_FULL', 503],
    ['KEYRING_CLOSED', 503],
    ['OPERATION_SEAL_FAILED', 503],
    ['OPERATION_LAST_WAY_IN', 409],
    ['OPERATION_SEAL_IN_USE', 409],
    ['OPERATION_MEMBERS_UNREACHABLE', 409],
    ['OPERATION_MEMBERS_CHANGED', 409],
    ['OPERATION_NODES_UNKNOWN', 409],
    ['KEYRING_NO_WAY_IN', 409],
    ['KEYRING_DIVERGED', 409],
    ['OPERATION_SEAL_UNKNOWN', 404],
    ['OPERATION_MEMBER_UNKNOWN', 404],
    ['OPERATION_NOT_CONFIRMED', 400],
    ['OPERATION_INVALID', 400],
    ['KEYRING_MALFORMED', 400],
    ['CONFIG_INVALID', 409],
  ])('passes on %s with status %d and its message, and never its cause', async (code, status) => {
    await using control = await controlScope({
      operations: { rotate: () => Promise.reject(new Refused(code)) },
    })
    expect(await sendJson(control.path, 'POST', '/v1/sys/rotate/seal-key')).toEqual({
      status,
      json: { errors: [`the message of ${code}`], code },
    })
    expect(control.failures).toEqual([])
  })

  it.each([
    ['no code', new TypeError('cannot read properties of undefined')],
    ['a code of the system', Object.assign(new Error('/var/lib/x'), { code: 'EACCES' })],
    ['a code that no operator is told', new Refused('ENVELOPE_AUTH_FAILED')],
    ['a name of every object', new Refused('constructor')],
    ['new shares that failed their proof', new Refused('SHAMIR_SET_UNPROVEN')],
  ])('is 500 for an error with %s, which is reported', async (what, failure) => {
    await using control = await controlScope({ operations: { rotate: () => Promise.reject(failure) } })
    const { status, json: answer } = await sendJson(control.path, 'POST', '/v1/sys/rotate/seal-key')
    expect(status).toBe(500)
    if (!what.includes('proof')) {
      expect(answer).toEqual({ errors: ['internal error, see the log of the agent'], code: 'CONTROL_INTERNAL' })
    }
    expect(control.failures).toEqual([failure])
  })

  it.each([
    ['a field that is unknown', 'POST', '/v1/sys/rotate/seal-key', { breakchain: true }, 'breakchain is unknown'],
    ['a field deeper down', 'POST', '/v1/sys/init/people', { shares: { threshold: 2, count: 3, n: 1 } }, 'shares.n is'],
    [
      'a field of another type',
      'POST',
      '/v1/sys/rotate/seal-key',
      { breakChain: 'yes' },
      'breakChain in the body must',
    ],
    ['one share that opens alone', 'POST', '/v1/sys/init/people', { shares: { threshold: 1, count: 3 } }, 'at least 2'],
    ['the definition of a seal', 'POST', '/v1/sys/reload', { seals: [] }, 'seals is unknown'],
    ['an array for an object', 'POST', '/v1/sys/rotate/seal-key', [], 'the body must be an object'],
    ['a member id that is none', 'POST', '/v1/sys/rotate/seal-key', { drop: ['x'] }, 'drop.0 in the body must be 32'],
    [
      'a fingerprint that is none',
      'POST',
      '/v1/sys/rotate/seal-key',
      { members: 'all' },
      'members in the body must be',
    ],
    ['a server that raft cannot have', 'POST', '/v1/sys/rotate/seal-key', { nodes: [''] }, 'nodes.0 in the body must'],
    ['a parameter that is unknown', 'GET', '/v1/sys/seals?all=1', undefined, 'all is unknown in the query'],
    ['a parameter twice', 'DELETE', '/v1/sys/seals/a?confirm=a&confirm=b', undefined, 'the query has confirm twice'],
    ['a name that no seal has', 'GET', '/v1/sys/seals/A%2Fb', undefined, 'name in the path must be 1 to 64'],
    ['a body where none is taken', 'GET', '/v1/sys/seals', {}, 'takes no body'],
    [
      'a control character in a label',
      'POST',
      '/v1/sys/init/tpm',
      { label: 'a\u001b[2J' },
      'label in the body must be',
    ],
  ])('is 400 for %s, and names the field', async (_what, method, path, body, text) => {
    await using control = await controlScope()
    const { status, json: answer } = await sendJson(control.path, method, path, body)
    expect(answer).toEqual({ errors: [expect.stringContaining(text)], code: 'CONTROL_REQUEST_INVALID' })
    expect(status).toBe(400)
    expect(control.asked).toEqual([])
  })

  it.each<[string, OutgoingHttpHeaders, string, number, string]>([
    ['JSON that is cut off', json, '{', 400, 'CONTROL_REQUEST_INVALID'],
    ['JSON that is no UTF-8', json, '"\u00ff', 400, 'CONTROL_REQUEST_INVALID'],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'a=1', 415, 'CONTROL_CONTENT_TYPE'],
    ['bytes', bytes, '{}', 415, 'CONTROL_CONTENT_TYPE'],
    ['no content type', {}, '{}', 415, 'CONTROL_CONTENT_TYPE'],
    ['64 KiB and more', json, `"${'x'.repeat(70_000)}"`, 413, 'CONTROL_BODY_TOO_LARGE'],
  ])('of a body for JSON that is %s', async (_what, headers, body, status, code) => {
    await using control = await controlScope()
    const answer = await send(control.path, {
      ...{ method: 'POST', path: '/v1/sys/seals/probe', headers },
      body: [Buffer.from(body, 'latin1')],
    })
    expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([status, { code }])
  })

  it.each<[string, OutgoingHttpHeaders, string, number, string]>([
    ['in JSON', json, JSON.stringify({ share: SHARE }), 415, 'CONTROL_CONTENT_TYPE'],
    ['of more than 1 KiB', bytes, SHARE.repeat(6), 413, 'CONTROL_BODY_TOO_LARGE'],
    [
      'that says it is longer',
      { ...bytes, 'content-length': '2000' },
      SHARE.repeat(12).slice(0, 2_000),
      413,
      'CONTROL_BODY_TOO_LARGE',
    ],
    ['that is empty', bytes, '', 400, 'CONTROL_REQUEST_INVALID'],
  ])('of a share %s comes before anything is entered', async (_what, headers, body, status, code) => {
    await using control = await controlScope()
    const answer = await send(control.path, { method: 'POST', path: '/v1/sys/unseal', headers, body: [body] })
    expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([status, { code }])
    expect(control.asked).toEqual([])
  })

  it('of a keyring of more than 1 MiB, or of more shares than there can be', async () => {
    await using control = await controlScope()
    const large = await sendBytes(control.path, 'PUT', '/v1/sys/keyring', new Uint8Array(1024 * 1024 + 1))
    expect(large.status).toBe(413)
    const many = await sendBytes(control.path, 'POST', '/v1/sys/rehearse', 'share\n'.repeat(256))
    expect([many.status, JSON.parse(many.body.toString())]).toEqual([
      400,
      { errors: ['the body has more than 255 lines'], code: 'CONTROL_REQUEST_INVALID' },
    ])
    const long = await sendBytes(control.path, 'POST', '/v1/sys/rehearse', `share\n${'x'.repeat(1_025)}`)
    expect(JSON.parse(long.body.toString())).toMatchObject({ errors: ['line 2 has more than 1024 bytes'] })
  })

  it('of a body that does not come, after a while', async () => {
    await using control = await controlScope({ dependencies: { bodyTimeoutMs: 50 } })
    for (const path of ['/v1/sys/unseal', '/v1/sys/rotate/retire']) {
      const slow = connect(control.path)
      const chunks: Buffer[] = []
      slow.on('data', chunk => chunks.push(chunk))
      const closed = once(slow, 'close')
      slow.write(
        `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ncontent-length: 9\r\n\r\nshare`,
      )
      await closed
      expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 408 .*"code":"CONTROL_REQUEST_SLOW"/s)
    }
  })

  it('reaches a sender that is still sending a snapshot', async () => {
    await using control = await controlScope({
      operations: {
        retire: async ({ snapshot }) => {
          await snapshot[Symbol.asyncIterator]().next()
          throw new Refused('CUSTODY_SEALED')
        },
      },
    })
    const answer = await send(control.path, {
      ...{ method: 'POST', path: '/v1/sys/rotate/retire', headers: bytes },
      body: Array.from({ length: 16 }, () => new Uint8Array(1024 * 1024)),
    })
    expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([503, { code: 'CUSTODY_SEALED' }])
  })

  it('is not needed for a sender that goes away in the middle, and is no failure', async () => {
    const ended = Promise.withResolvers<unknown>()
    await using control = await controlScope({
      operations: {
        retire: async ({ snapshot }) => {
          try {
            const pieces = snapshot[Symbol.asyncIterator]()
            await pieces.next()
            leaving.destroy()
            await pieces.next()
            throw new Error('it came whole')
          } catch (error) {
            ended.resolve(error)
            throw error
          }
        },
      },
    })
    const leaving = connect(control.path)
    leaving.write(
      'POST /v1/sys/rotate/retire HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\ncontent-length: 99\r\n\r\nbytes',
    )
    expect(errorCodeOf(await ended.promise)).toBe('ECONNRESET')
    expect((await sendJson(control.path, 'GET', '/healthz')).status).toBe(200)
    expect(control.failures).toEqual([])
  })

  it('never tells what was sent, wherever somebody puts a share', async () => {
    const told: string[] = []
    await using control = await controlScope({
      operations: {
        enterShare: ({ share }) => Promise.reject(new Error(share.reveal(all => Buffer.from(all).toString()))),
      },
    })
    const attempts: readonly (readonly [string, string, OutgoingHttpHeaders, string])[] = [
      ['POST', '/v1/sys/unseal', bytes, SHARE],
      ['POST', '/v1/sys/unseal', json, `{"share":"${SHARE}"}`],
      ['POST', `/v1/sys/unseal?share=${SHARE}`, bytes, SHARE],
      ['POST', `/v1/sys/unseal?nonce=${SHARE}`, bytes, SHARE],
      ['POST', `/v1/sys/unseal?${SHARE}`, bytes, SHARE],
      ['POST', `/v1/sys/unseal/${SHARE}`, bytes, SHARE],
      ['POST', '/v1/sys/unseal/reset', json, `{"seal":"${SHARE}"}`],
      ['POST', '/v1/sys/unseal/reset', json, `{"${SHARE}":1}`],
      ['POST', '/v1/sys/unseal/reset', json, SHARE],
      ['GET', `/v1/sys/seals/${SHARE}%20`, {}, ''],
      ['POST', '/v1/sys/unseal', { ...bytes, 'content-type': SHARE }, SHARE],
    ]
    for (const [method, path, headers, body] of attempts) {
      const answer = await send(control.path, { method, path, headers, body: body === '' ? [] : [body] })
      expect(answer.status).toBeGreaterThanOrEqual(400)
      told.push(JSON.stringify(answer.headers), answer.body.toString())
    }
    expect(told.filter(text => text.includes('secret-secret'))).toEqual([])
  })

  it('is all that any other body in JSON gets', async () => {
    await using control = await controlScope()
    await fc.assert(
      fc.asyncProperty(fc.json(), async text => {
        fc.pre(
          !['{}', '{"breakChain":true}', '{"breakChain":false}', '{"drop":[]}', '{"nodes":[]}', '{"lost":[]}'].includes(
            text.trim(),
          ),
        )
        const answer = await send(control.path, {
          ...{ method: 'POST', path: '/v1/sys/rotate/seal-key', headers: json },
          body: [text],
        })
        expect([answer.status, JSON.parse(answer.body.toString())]).toMatchObject([
          400,
          { code: 'CONTROL_REQUEST_INVALID' },
        ])
      }),
      { numRuns: 100 },
    )
    expect([control.asked, control.failures]).toEqual([[], []])
  })
})
