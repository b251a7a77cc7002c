import { inspect } from 'node:util'
import { type Secret } from '@sealwright/secret'
import { OpenBaoError } from '../error.ts'
import { fakeSend, granted, type ManualClock, manualClock, type Script } from '../testing/fake-send.ts'
import { reads, secretOf } from '../testing/second-openbao.ts'
import { type AuthMethod } from './auth-method.ts'
import { openTokenSource, type TokenSource, type TokenSourceOptions } from './token-source.ts'

const call = { signal: new AbortController().signal }
const jwt: AuthMethod = { method: 'jwt', role: 'node', readJwt: reads('a.b.c') }

const DENIED = [403, { errors: ['permission denied'] }] as const
const MINUTE_MS = 60_000

interface Scene {
  readonly clock: ManualClock
  readonly source: TokenSource
  /** Paths in the order of the requests. */
  readonly asked: string[]
}

/** A source whose logins give `token-1`, `token-2` and so on, unless the script says otherwise. */
function scene(script?: Script, auth = jwt, options: Partial<TokenSourceOptions> = {}): Scene {
  const asked: string[] = []
  const clock = manualClock()
  let logins = 0
  const send = fakeSend(request => {
    asked.push(request.path)
    if (script !== undefined) return script(request)
    if (!request.path.endsWith('/login')) return granted(request.token ?? '', 60)
    logins += 1
    return granted(`token-${logins}`, 60)
  })
  return { clock, asked, source: openTokenSource({ auth, send, clock, timeoutMs: 5_000, ...options }) }
}

const textOf = (token: Secret): string => token.reveal(bytes => Buffer.from(bytes).toString())

/** Uses a token and tells which it was. */
const use = async ({ source }: Scene): Promise<string> =>
  await source.withToken(async token => await Promise.resolve(textOf(token)), call)

/** Uses a token where only these are good. */
const useWith = async ({ source }: Scene, ...good: readonly string[]): Promise<string> =>
  await source.withToken(async token => {
    if (good.includes(textOf(token))) return await Promise.resolve(textOf(token))
    throw new OpenBaoError('OPENBAO_PERMISSION_DENIED', 'permission denied', { status: 403 })
  }, call)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'none',
    (error: unknown) => (error instanceof OpenBaoError ? error.code : inspect(error)),
  )
}

describe('one login for all', () => {
  it('serves those who wait, and those who come later', async () => {
    const at = scene()
    expect(await Promise.all([use(at), use(at), use(at)])).toEqual(['token-1', 'token-1', 'token-1'])
    expect(await use(at)).toBe('token-1')
    expect(at.asked).toEqual(['auth/jwt/login'])
  })

  it('fails for those who wait, and is tried again by the next', async () => {
    let isUp = false
    const at = scene(() => (isUp ? granted('token', 60) : [503, { errors: ['Vault is sealed'] }]))
    const codes = await Promise.all([codeOf(use(at)), codeOf(use(at))])
    expect(codes).toEqual(['OPENBAO_SEALED', 'OPENBAO_SEALED'])
    expect(at.asked).toHaveLength(1)
    isUp = true
    expect(await use(at)).toBe('token')
  })

  it('is not tried again for a while after a refusal, where that is asked for', async () => {
    let isRight = false
    const script: Script = () => (isRight ? granted('token', 60) : [400, { errors: ['wrong role'] }])
    const at = scene(script, jwt, { holdRefusalMs: 1_000 })
    for (let uses = 0; uses < 3; uses += 1) expect(await codeOf(use(at))).toBe('OPENBAO_LOGIN_REFUSED')
    expect(at.asked).toHaveLength(1)
    await at.clock.advance(999)
    isRight = true
    expect(await codeOf(use(at))).toBe('OPENBAO_LOGIN_REFUSED')
    await at.clock.advance(1)
    expect(await use(at)).toBe('token')
    const impatient = scene(() => [400, { errors: ['wrong role'] }])
    for (let uses = 0; uses < 3; uses += 1) expect(await codeOf(use(impatient))).toBe('OPENBAO_LOGIN_REFUSED')
    expect(impatient.asked).toHaveLength(3)
  })

  it('is tried again at once after an outage, even so', async () => {
    let isUp = false
    const at = scene(() => (isUp ? granted('token', 60) : [503, { errors: ['Vault is sealed'] }]), jwt, {
      holdRefusalMs: 1_000,
    })
    expect(await codeOf(use(at))).toBe('OPENBAO_SEALED')
    isUp = true
    expect(await use(at)).toBe('token')
  })

  it('goes on when one of them leaves', async () => {
    const login = Promise.withResolvers<undefined>()
    const at = scene(async () => {
      await login.promise
      return granted('token', 60)
    })
    const leaving = new AbortController()
    const first = at.source.withToken(async () => await Promise.resolve('used'), { signal: leaving.signal })
    const second = use(at)
    leaving.abort()
    expect(await codeOf(first)).toBe('OPENBAO_CANCELLED')
    login.resolve(undefined)
    expect(await second).toBe('token')
    expect(at.asked).toHaveLength(1)
  })
})

describe('a token that is denied something', () => {
  it('is replaced once, for all', async () => {
    const at = scene()
    await use(at)
    await at.clock.advance(10_000)
    expect(await Promise.all([useWith(at, 'token-2'), useWith(at, 'token-2')])).toEqual(['token-2', 'token-2'])
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/jwt/login'])
  })

  it('is replaced once and not twice', async () => {
    const at = scene()
    await use(at)
    await at.clock.advance(10_000)
    expect(await codeOf(useWith(at, 'no token'))).toBe('OPENBAO_PERMISSION_DENIED')
    expect(at.asked).toHaveLength(2)
  })

  it('is kept while it is young, or where nobody asked for another', async () => {
    const at = scene()
    expect(await codeOf(useWith(at, 'token-2'))).toBe('OPENBAO_PERMISSION_DENIED')
    await at.clock.advance(10_000)
    const denied = at.source.withToken(
      async () => await Promise.reject(new OpenBaoError('OPENBAO_PERMISSION_DENIED', 'no')),
      { ...call, loginAgain: false },
    )
    expect(await codeOf(denied)).toBe('OPENBAO_PERMISSION_DENIED')
    expect(at.asked).toHaveLength(1)
  })

  it('is not replaced again for a call that was denied late', async () => {
    const at = scene()
    const late = Promise.withResolvers<undefined>()
    await use(at)
    await at.clock.advance(10_000)
    let isFirst = true
    const slow = at.source.withToken(async token => {
      if (!isFirst) return textOf(token)
      isFirst = false
      await late.promise
      throw new OpenBaoError('OPENBAO_PERMISSION_DENIED', 'no')
    }, call)
    expect(await useWith(at, 'token-2')).toBe('token-2')
    late.resolve(undefined)
    expect(await slow).toBe('token-2')
    expect(at.asked).toHaveLength(2)
  })

  it('stays when no other is to be had', async () => {
    let isUp = true
    const at = scene(() => (isUp ? granted('token-1', 60) : [307, '']))
    await use(at)
    await at.clock.advance(10_000)
    isUp = false
    expect(await codeOf(useWith(at, 'token-2'))).toBe('OPENBAO_REDIRECTED')
    expect(await use(at)).toBe('token-1')
  })

  it('is wiped when nobody uses it any more, and not before', async () => {
    const at = scene()
    const late = Promise.withResolvers<undefined>()
    let old: Secret | undefined
    const slow = at.source.withToken(async token => {
      old = token
      await late.promise
      return textOf(token)
    }, call)
    await at.clock.advance(10_000)
    await useWith(at, 'token-2')
    late.resolve(undefined)
    expect(await slow).toBe('token-1')
    expect(() => old?.reveal(bytes => bytes)).toThrow('wiped')
  })
})

describe('a lease', () => {
  it('is renewed after two thirds, again and again, without any use', async () => {
    const at = scene()
    await use(at)
    await at.clock.advance(4 * MINUTE_MS)
    expect(await use(at)).toBe('token-1')
    expect(at.asked).toEqual(['auth/jwt/login', ...Array<string>(6).fill('auth/token/renew-self')])
    expect(at.clock.waiting()).toBe(1)
  })

  it.each([
    [403, ['permission denied']],
    [400, ['lease is not renewable']],
    [500, ['1 error occurred: past the max TTL, cannot renew']],
  ])('that cannot be renewed (%i %j) is replaced ahead of its end', async (status, errors) => {
    const at = scene(({ path }) => (path.endsWith('/login') ? granted('token', 60) : [status, { errors }]))
    await use(at)
    await at.clock.advance(50_000)
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/token/renew-self', 'auth/jwt/login'])
  })

  it('that says it is not renewable is replaced ahead of its end, without asking', async () => {
    const at = scene(() => granted('token', 60, false))
    await use(at)
    await at.clock.advance(50_000)
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/jwt/login'])
  })

  it('is renewed later after an outage', async () => {
    let isUp = false
    const at = scene(({ path }) =>
      isUp || path.endsWith('/login') ? granted('token', 60) : [502, '<html>bad gateway</html>'],
    )
    await use(at)
    await at.clock.advance(45_000)
    isUp = true
    await at.clock.advance(10_000)
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/token/renew-self', 'auth/token/renew-self'])
    await at.clock.advance(20_000)
    expect(await use(at)).toBe('token')
    expect(at.asked).toHaveLength(3)
  })

  it('that ends in an outage leaves nothing that runs on, and the next use logs in', async () => {
    let isUp = true
    const at = scene(() => (isUp ? granted('token', 60) : [502, '']))
    await use(at)
    isUp = false
    await at.clock.advance(2 * MINUTE_MS)
    expect(at.clock.waiting()).toBe(0)
    expect(await codeOf(use(at))).toBe('OPENBAO_STATUS')
    isUp = true
    expect(await use(at)).toBe('token')
  })

  it('without end needs no timer', async () => {
    const at = scene(() => granted('token', 0))
    await use(at)
    expect(at.clock.waiting()).toBe(0)
  })

  it('of half a year is not renewed at once by a timer that is too short for it', async () => {
    const days = 180 * 24 * 60 * MINUTE_MS
    const at = scene(() => granted('token', days / 1_000))
    await use(at)
    await at.clock.advance(days / 2)
    expect(at.asked).toEqual(['auth/jwt/login'])
    await at.clock.advance(days / 4)
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/token/renew-self'])
  })
})

describe('a token from a file', () => {
  it('is used as it is, renewed from the first use on, and another one in the file takes its place', async () => {
    let file = 'first'
    const auth: AuthMethod = { method: 'token', readToken: reads(() => file) }
    const at = scene(({ token }) => granted(token ?? '', 60), auth)
    expect(await use(at)).toBe('first')
    await at.clock.advance(1)
    expect(at.asked).toEqual(['auth/token/renew-self'])
    file = 'second'
    expect(await use(at)).toBe('second')
    await at.clock.advance(1)
    expect(at.asked).toHaveLength(2)
    await at.clock.advance(45_000)
    expect(at.asked).toHaveLength(3)
  })

  it('is read again after a while only, and at once when it is denied, where that is asked for', async () => {
    let text = 'one'
    let readings = 0
    const auth: AuthMethod = {
      method: 'token',
      readToken: async () => {
        readings += 1
        return await Promise.resolve(secretOf(text))
      },
    }
    const at = scene(undefined, auth, { rereadAfterMs: 1_000 })
    expect([await use(at), await use(at)]).toEqual(['one', 'one'])
    text = 'two'
    await at.clock.advance(999)
    expect([await use(at), readings]).toEqual(['one', 1])
    await at.clock.advance(1)
    expect([await use(at), readings]).toEqual(['two', 2])
    text = 'three'
    expect([await useWith(at, 'three'), readings]).toEqual(['three', 3])
    expect([await use(at), readings]).toEqual(['three', 3])
  })

  it('that cannot be renewed is used until it is denied, and asks for nothing more', async () => {
    const at = scene(() => DENIED, { method: 'token', readToken: reads('only') })
    expect(await use(at)).toBe('only')
    await at.clock.advance(10 * MINUTE_MS)
    expect(at.asked).toEqual(['auth/token/renew-self'])
    expect(at.clock.waiting()).toBe(0)
    expect(await codeOf(useWith(at, 'other'))).toBe('OPENBAO_PERMISSION_DENIED')
  })

  it('is unreadable if it is no token, and leaves the one before in use', async () => {
    let file = 'good'
    const at = scene(() => DENIED, { method: 'token', readToken: reads(() => file) })
    await use(at)
    for (file of ['', 'two words', 'line\n', 'ümlaut']) {
      expect(await codeOf(use(at))).toBe('OPENBAO_CREDENTIAL_UNREADABLE')
    }
    file = 'good'
    expect(await use(at)).toBe('good')
  })
})

it('shows no token when it is printed', async () => {
  const at = scene()
  await use(at)
  for (const printed of [inspect(at.source, { depth: 10, showHidden: true }), JSON.stringify(at.source)]) {
    expect(printed).not.toContain('token-1')
  }
})

describe('closing', () => {
  it('gives the token back, ends the timer, and refuses later use', async () => {
    const at = scene()
    let token: Secret | undefined
    await at.source.withToken(async given => {
      token = given
      await Promise.resolve()
    }, call)
    await Promise.all([at.source.close(), at.source.close()])
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/token/revoke-self'])
    expect(at.clock.waiting()).toBe(0)
    expect(await codeOf(use(at))).toBe('OPENBAO_CANCELLED')
    expect(() => token?.reveal(bytes => bytes)).toThrow('wiped')
  })

  it('asks for nothing if nothing was used', async () => {
    const at = scene()
    await at.source.close()
    expect(at.asked).toEqual([])
  })

  it('gives back a token that comes in the middle of it', async () => {
    const login = Promise.withResolvers<undefined>()
    const at = scene(async ({ path }) => {
      if (!path.endsWith('/login')) return [204, null]
      await login.promise
      return granted('token', 60)
    })
    const waiting = codeOf(use(at))
    const closed = at.source.close()
    login.resolve(undefined)
    await closed
    expect(await waiting).toBe('OPENBAO_CANCELLED')
    expect(at.asked).toEqual(['auth/jwt/login', 'auth/token/revoke-self'])
    expect(at.clock.waiting()).toBe(0)
  })
})

describe('a login', () => {
  it('sends the credential as the method wants it', async () => {
    const sent: unknown[] = []
    const methods: readonly AuthMethod[] = [
      { method: 'approle', readRoleId: reads('r'), readSecretId: reads('s') },
      { ...jwt, mountPath: 'a/b c' },
      { method: 'kubernetes', role: 'k', readJwt: reads('j') },
      { method: 'cert' },
      { method: 'cert', role: 'c' },
    ]
    for (const auth of methods) {
      const at = scene(request => {
        sent.push([request.path, JSON.parse(request.sent)])
        return granted('token', 0)
      }, auth)
      await use(at)
    }
    expect(sent).toEqual([
      ['auth/approle/login', { role_id: 'r', secret_id: 's' }],
      ['auth/a/b%20c/login', { role: 'node', jwt: 'a.b.c' }],
      ['auth/kubernetes/login', { role: 'k', jwt: 'j' }],
      ['auth/cert/login', {}],
      ['auth/cert/login', { name: 'c' }],
    ])
  })

  it('wipes what it has read, also when it fails', async () => {
    const read: Secret[] = []
    const readSecret = async (): Promise<Secret> => {
      const secret = secretOf('a-secret')
      read.push(secret)
      return await Promise.resolve(secret)
    }
    const auth: AuthMethod = { method: 'approle', readRoleId: readSecret, readSecretId: readSecret }
    await use(scene(() => granted('token', 0), auth))
    expect(await codeOf(use(scene(() => DENIED, auth)))).toBe('OPENBAO_LOGIN_REFUSED')
    const readNothing = async (): Promise<Secret> => await Promise.reject(new Error('no file'))
    const half = { ...auth, readSecretId: readNothing } as AuthMethod
    expect(await codeOf(use(scene(undefined, half)))).toBe('OPENBAO_CREDENTIAL_UNREADABLE')
    expect(read).toHaveLength(5)
    for (const secret of read) expect(() => secret.reveal(bytes => bytes)).toThrow('wiped')
  })

  it('shows nothing of a credential or token that the server repeats', async () => {
    const auth: AuthMethod = { method: 'approle', readRoleId: reads('role-id'), readSecretId: reads('hunter2') }
    const at = scene(() => [400, { errors: ['you said hunter2', 'you are role-id', 'no such role'] }], auth)
    const error: unknown = await use(at).catch((caught: unknown) => caught)
    expect(error).toMatchObject({
      code: 'OPENBAO_SECRET_ID_REFUSED',
      serverErrors: ['a text that repeats a secret', 'a text that repeats a secret', 'no such role'],
    })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/hunter2|role-id/)
  })

  it('holds back a refused secret id only, and only for a while', async () => {
    let secretId = 'one'
    const auth: AuthMethod = { method: 'approle', readRoleId: reads('role'), readSecretId: reads(() => secretId) }
    const at = scene(() => [400, { errors: ['invalid role or secret ID'] }], auth)
    const codes = [await codeOf(use(at)), await codeOf(use(at))]
    secretId = 'two'
    codes.push(await codeOf(use(at)))
    expect(codes).toEqual(Array<string>(3).fill('OPENBAO_SECRET_ID_REFUSED'))
    expect(at.asked).toHaveLength(2)
    await at.clock.advance(15 * MINUTE_MS)
    await codeOf(use(at))
    expect(at.asked).toHaveLength(2)
    await at.clock.advance(MINUTE_MS)
    await codeOf(use(at))
    expect(at.asked).toHaveLength(3)
  })

  it.each([
    ['no token', { auth: { lease_duration: 1, renewable: true } }],
    ['more to do before a token is given', { auth: { client_token: '', lease_duration: 1, renewable: true } }],
    ['a lease that is no number', { auth: { client_token: 'shown?', lease_duration: '1', renewable: true } }],
    ['a lease below zero', { auth: { client_token: 'shown?', lease_duration: -1, renewable: true } }],
    ['no word on renewing', { auth: { client_token: 'shown?', lease_duration: 1 } }],
    ['nothing', { auth: null }],
  ])('is malformed with %s, and shows nothing', async (_, body) => {
    const error: unknown = await use(scene(() => [200, body])).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'OPENBAO_RESPONSE_MALFORMED' })
    expect(inspect(error, { depth: 10 })).not.toContain('shown?')
  })
})
