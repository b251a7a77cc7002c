import { inspect } from 'node:util'
import { freePort } from '@sealwright/testing-rig'
import { OpenBaoError, type OpenBaoErrorCode } from '../error.ts'
import { closeAll, type RawAnswer, type RawServer, serveRaw, whole } from '../testing/raw-server.ts'
import { closeTransits, reads, secretOf, transitOf } from '../testing/second-openbao.ts'
import { TransitError } from './error.ts'
import { type TransitAccess } from './transit-access.ts'
import { transitErrorOf } from './translate.ts'

const TOKEN = 's.token-that-must-not-show'
const call = { signal: new AbortController().signal, associatedData: new Uint8Array() }
const ciphertext = { text: 'vault:v1:AAAA', keyVersion: 1 }

afterEach(async () => {
  await closeTransits()
  await closeAll()
})

const accessTo = (address: string): TransitAccess =>
  transitOf(
    { apiAddress: address, caPath: undefined, request: rejected, waitFor: rejected },
    { auth: { method: 'token', readToken: reads(TOKEN) }, timeoutMs: 5_000 },
  )

const rejected = async (): Promise<never> => await Promise.reject(new Error('no real node'))

/** Answers decryptions; a renewal of the token is denied. */
async function serve(answer: RawAnswer): Promise<readonly [TransitAccess, RawServer]> {
  const raw = await serveRaw((socket, received) => {
    if (received.includes('renew-self')) whole('403 X', '{"errors":["permission denied"]}')(socket, received)
    else answer(socket, received)
  })
  return [accessTo(raw.address), raw]
}

async function failureOf(promise: Promise<unknown>): Promise<TransitError> {
  const outcome = await promise.then(
    value => value,
    (error: unknown) => error,
  )
  if (!(outcome instanceof TransitError)) throw new Error(`no TransitError: ${inspect(outcome)}`)
  const printed = inspect(outcome, { depth: 10, showHidden: true })
  if (printed.includes(TOKEN) || printed.includes('c2VjcmV0')) throw new Error('a secret shows')
  return outcome
}

const decryptions = (raw: RawServer): number => raw.requests.filter(text => text.includes('/decrypt/')).length

describe('an answer', () => {
  it.each([
    [500, '{"errors":["internal error"]}', 'TRANSIT_STATUS', 'transient'],
    [502, '<html>bad gateway</html>', 'TRANSIT_STATUS', 'transient'],
    [404, '{"errors":["unsupported path"]}', 'TRANSIT_STATUS', 'transient'],
    [404, '{"errors":["no handler for route \\"x\\""]}', 'TRANSIT_MOUNT_MISSING', 'permanent'],
    [404, '{"errors":["namespace not found"]}', 'TRANSIT_NAMESPACE_MISSING', 'permanent'],
    [503, '{"errors":["Vault is sealed"]}', 'TRANSIT_SEALED', 'transient'],
    [503, '<html>no backend</html>', 'TRANSIT_STATUS', 'transient'],
    [429, '{"errors":["rate limit quota exceeded"]}', 'TRANSIT_RATE_LIMITED', 'transient'],
    [307, '', 'TRANSIT_REDIRECTED', 'transient'],
    [400, '{"errors":["something new"]}', 'TRANSIT_REQUEST_REFUSED', 'permanent'],
    [403, `{"errors":["permission denied for ${TOKEN}"]}`, 'TRANSIT_DENIED', 'permanent'],
    [200, '{"data":{}}', 'TRANSIT_RESPONSE_MALFORMED', 'transient'],
    [200, '{"data":{"plaintext":7}}', 'TRANSIT_RESPONSE_MALFORMED', 'transient'],
    [200, '{"data":{"plaintext":"c2VjcmV0!"}}', 'TRANSIT_RESPONSE_MALFORMED', 'transient'],
    [200, '{"data":{"plaintext":"c2VjcmV0"}', 'TRANSIT_RESPONSE_MALFORMED', 'transient'],
    [200, '<html>Welcome</html>', 'TRANSIT_RESPONSE_MALFORMED', 'transient'],
  ])('of %i with %s is %s, %s', async (status, body, code, kind) => {
    const [access] = await serve(whole(`${status} X`, body))
    const failure = await failureOf(access.decrypt(ciphertext, call))
    expect(failure).toMatchObject({ code, kind })
    expect(failure.message).toContain(`the OpenBao at http://127.0.0.1`)
  })

  it.each([
    ['of another version than was asked for', { ciphertext: 'vault:v2:AAAA', key_version: 2 }],
    ['that contradicts itself', { ciphertext: 'vault:v1:AAAA', key_version: 2 }],
    ['that is no ciphertext', { ciphertext: 'c2VjcmV0', key_version: 1 }],
  ])('to an encryption %s is malformed', async (_, data) => {
    const [access] = await serve(whole('200 OK', JSON.stringify({ data })))
    const encrypted = access.encrypt(secretOf('plain'), { ...call, keyVersion: 1 })
    expect(await failureOf(encrypted)).toMatchObject({ code: 'TRANSIT_RESPONSE_MALFORMED' })
  })

  it('that is cut off is asked for once more, and no more than once', async () => {
    const [access, raw] = await serve(socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"da'))
    expect(await failureOf(access.decrypt(ciphertext, call))).toMatchObject({ code: 'TRANSIT_CONNECTION_CUT' })
    expect(decryptions(raw)).toBe(2)
  })

  it('that redirects is not followed', async () => {
    const [access, raw] = await serve(whole('307 X', '', 'Location: http://127.0.0.1:1/v1/x\r\n'))
    const failure = await failureOf(access.decrypt(ciphertext, call))
    expect(failure.message).toContain('status 307 towards http://127.0.0.1:1')
    expect(decryptions(raw)).toBe(1)
  })
})

it('asks by a body in which the plaintext is whole', async () => {
  const [access, raw] = await serve(whole('200 OK', '{"data":{"ciphertext":"vault:v1:AAAA","key_version":1}}'))
  await access.encrypt(secretOf('secret'), { ...call, associatedData: Uint8Array.of(1), keyVersion: 1 })
  const [, body] = raw.requests.find(text => text.includes('/encrypt/'))?.split('\r\n\r\n') ?? []
  expect(body).toBe('{"plaintext":"c2VjcmV0","associated_data":"AQ==","key_version":1}')
})

it('asks nothing for a caller who has left already', async () => {
  const [access, raw] = await serve(whole('200 OK', '{}'))
  const left = { ...call, signal: AbortSignal.abort() }
  expect(await failureOf(access.decrypt(ciphertext, left))).toMatchObject({ code: 'TRANSIT_CANCELLED' })
  expect(raw.requests).toEqual([])
})

it('tells nobody there from everything else', async () => {
  const failure = await failureOf(accessTo(`http://127.0.0.1:${await freePort()}`).decrypt(ciphertext, call))
  expect(failure).toMatchObject({ code: 'TRANSIT_UNREACHABLE', kind: 'transient' })
})

describe('the words', () => {
  const place = { address: 'https://bao:8200', namespace: 'team', mountPath: 'transit', keyName: 'k' }
  const words = (
    code: OpenBaoErrorCode,
    authMethod: 'token' | 'approle' | 'kubernetes' | 'jwt',
    status = 400,
  ): unknown => transitErrorOf(new OpenBaoError(code, 'what happened', { status }), { ...place, authMethod })

  it('say both that a token may have expired and that its policy may not do', () => {
    for (const method of ['token', 'approle'] as const) {
      const { message } = words('OPENBAO_PERMISSION_DENIED', method) as TransitError
      expect(message).toMatch(/the token has expired.* or its policy lacks update on transit\/encrypt\/k/)
    }
  })

  it.each([
    ['approle', /role is locked for 15 minutes/],
    ['kubernetes', /Kubernetes API refused the token/],
    ['jwt', /there is no jwt login at this path; it is tried again$/],
  ] as const)('name what a denied %s login can mean', (method, expected) => {
    expect(words('OPENBAO_LOGIN_REFUSED', method, 403)).toMatchObject({
      code: 'TRANSIT_LOGIN_DENIED',
      message: expect.stringMatching(expected) as string,
    })
  })

  it('wait for somebody after a refused secret id, and for nobody else', () => {
    expect(words('OPENBAO_SECRET_ID_REFUSED', 'approle')).toMatchObject({ kind: 'operator' })
    expect(words('OPENBAO_LOGIN_REFUSED', 'jwt')).toMatchObject({ code: 'TRANSIT_LOGIN_REFUSED', kind: 'permanent' })
  })

  it('leave alone what is no error of the client', () => {
    const bug = new TypeError('a bug')
    expect(transitErrorOf(bug, { ...place, authMethod: 'token' })).toBe(bug)
  })
})
