import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { Secret } from '@sealwright/secret'
import {
  type CertificateAuthority,
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import {
  closeTransits,
  type Fields,
  prepareTransit,
  reads,
  type SecondOpenBao,
  textAt,
  transitOf,
  USE_AND_RENEW,
  USE_ONLY,
} from '../testing/second-openbao.ts'
import { base64UrlJson, SERVICE_ACCOUNT, serviceAccountToken, startTokenReviewer } from '../testing/token-review.ts'
import { TransitError } from '../transit/error.ts'
import { type TransitAccess, type TransitOptions } from '../transit/transit-access.ts'
import { type AuthMethod } from './auth-method.ts'
import { type Clock, steadyClock } from './clock.ts'

/** One real server for the whole file, with all kinds of login. */
let folder: TemporaryFolder
let authority: CertificateAuthority
let node: OpenBaoNode
let bao: SecondOpenBao

const call = { signal: new AbortController().signal }
const associatedData = Uint8Array.of(1)

beforeAll(async () => {
  folder = await temporaryFolder()
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  authority = await certificateAuthority({ directory: folder.join('tls') })
  node = await startOpenBao({
    directory: folder.join('n1'),
    nodeId: 'n1',
    apiPort: await freePort(),
    clusterPort: await freePort(),
    tls: { ...(await authority.issue({ name: 'n1', usage: 'server' })), caPath: authority.certificatePath },
    seal: { kind: 'static', keyFile },
  })
  bao = await prepareTransit(node)
  for (const type of ['approle', 'jwt', 'kubernetes', 'cert']) await bao.ask('POST', `sys/auth/${type}`, { type })
})

afterEach(closeTransits)

afterAll(async () => {
  await node.stop()
  await folder.remove()
})

const open = (auth: AuthMethod, options: Partial<TransitOptions> = {}): TransitAccess =>
  transitOf(node, { auth, ...options })

/** Encrypts something: `done`, or the code, or that it showed one of `secrets`. */
async function outcome(access: TransitAccess, ...secrets: readonly string[]): Promise<string> {
  try {
    await access.encrypt(new Secret(new Uint8Array(32)), { ...call, associatedData })
    return 'done'
  } catch (error) {
    if (!(error instanceof TransitError)) throw error
    const printed = inspect(error, { depth: 10, showHidden: true })
    return secrets.some(secret => printed.includes(secret)) ? `${error.code}, which shows a secret` : error.code
  }
}

/** The machine's clock, and a leap of it. */
function leapingClock(): Clock & { readonly leap: (ms: number) => void } {
  let leapMs = 0
  return {
    nowMs: () => steadyClock.nowMs() + leapMs,
    after: steadyClock.after,
    leap: ms => {
      leapMs += ms
    },
  }
}

/** How many tokens of this approle there are: other tests' tokens expire whenever they do. */
async function countTokensOf(role: string): Promise<number> {
  const { body } = await node.request({ method: 'LIST', path: 'auth/token/accessors', token: bao.rootToken })
  const { keys } = (body as Fields).data as { keys: readonly string[] }
  const names = await Promise.all(keys.map(async accessor => await roleOf(accessor)))
  return names.filter(name => name === role).length
}

/** The approle of a token; undefined for any other token, and for one that has expired meanwhile. */
async function roleOf(accessor: string): Promise<unknown> {
  const request = { method: 'POST', path: 'auth/token/lookup-accessor', token: bao.rootToken } as const
  const { status, body } = await node.request({ ...request, body: { accessor } })
  if (status >= 300) return undefined
  return (((body as Fields).data as Fields).meta as Fields | null)?.role_name
}

const revokeTokensOf = async (login: string): Promise<unknown> =>
  await bao.ask('PUT', `sys/leases/revoke-prefix/auth/${login}`, { sync: true })

describe('approle', () => {
  interface Role {
    readonly roleId: string
    readonly secretId: string
  }

  async function newRole(name: string, policy = USE_ONLY, options: object = {}): Promise<Role> {
    const role = { token_policies: [policy], token_no_default_policy: true, token_period: '60s', ...options }
    await bao.ask('POST', `auth/approle/role/${name}`, role)
    const { role_id: roleId } = (await bao.ask('GET', `auth/approle/role/${name}/role-id`)).data as Fields
    return { roleId: String(roleId), secretId: await newSecretId(name) }
  }

  async function newSecretId(name: string): Promise<string> {
    return textAt((await bao.ask('POST', `auth/approle/role/${name}/secret-id`)).data as Fields, 'secret_id')
  }

  /** The credential, and how often it was read: once for each login. */
  interface Counted {
    readonly auth: AuthMethod
    logins: number
    secretId: string
  }

  function counted({ roleId, secretId }: Role): Counted {
    const readSecretId = reads(() => {
      count.logins += 1
      return count.secretId
    })
    const auth: AuthMethod = { method: 'approle', readRoleId: reads(roleId), readSecretId }
    const count: Counted = { auth, logins: 0, secretId }
    return count
  }

  it('logs in once for many calls, without the default policy', async () => {
    const count = counted(await newRole('many'))
    const access = open(count.auth)
    const outcomes = await Promise.all(Array.from({ length: 50 }, async () => await outcome(access)))
    expect(new Set(outcomes)).toEqual(new Set(['done']))
    expect(count.logins).toBe(1)
  })

  it('logs in again, once for many calls, after its token was revoked', async () => {
    const count = counted(await newRole('revoked'))
    const clock = leapingClock()
    const access = open(count.auth, { clock })
    expect(await outcome(access)).toBe('done')
    await revokeTokensOf('approle')
    clock.leap(10_000)
    const outcomes = await Promise.all(Array.from({ length: 20 }, async () => await outcome(access)))
    expect(new Set(outcomes)).toEqual(new Set(['done']))
    expect(count.logins).toBe(2)
  })

  it('logs in again after its token has expired while nobody renewed it', async () => {
    const count = counted(await newRole('expired', USE_ONLY, { token_period: '3s' }))
    const asleep: Clock = { nowMs: () => 0, after: () => () => undefined }
    const clock = { ...asleep, nowMs: () => nowMs }
    let nowMs = 0
    const access = open(count.auth, { clock })
    expect(await outcome(access)).toBe('done')
    // Our clock stood still, as in a machine that slept: only the refusal tells. OpenBao takes a token's accessor away before the token.
    nowMs = 1_900
    await waitUntil(async () => (await outcome(access)) === 'TRANSIT_DENIED', {
      what: 'the token to expire',
      timeoutMs: 20_000,
    })
    expect(await outcome(access)).toBe('TRANSIT_DENIED')
    expect(count.logins).toBe(1)
    nowMs = 3_001
    expect(await outcome(access)).toBe('done')
    expect(count.logins).toBe(2)
  })

  it('is denied after its policy was removed, with one login more and not one for each call', async () => {
    await bao.ask('PUT', 'sys/policies/acl/for-a-while', {
      policy: 'path "transit/encrypt/+" { capabilities = ["update"] }',
    })
    const count = counted(await newRole('policy', 'for-a-while'))
    const clock = leapingClock()
    const access = open(count.auth, { clock })
    expect(await outcome(access)).toBe('done')
    await bao.ask('DELETE', 'sys/policies/acl/for-a-while')
    clock.leap(10_000)
    const outcomes = [await outcome(access), await outcome(access), await outcome(access)]
    expect(outcomes).toEqual(['TRANSIT_DENIED', 'TRANSIT_DENIED', 'TRANSIT_DENIED'])
    expect(count.logins).toBe(2)
  })

  it('does not send a refused secret id again, so that the role is never locked, and takes a new one at once', async () => {
    const role = await newRole('refused')
    const count = counted({ ...role, secretId: 'not-a-secret-id' })
    const access = open(count.auth)
    for (let tries = 0; tries < 10; tries += 1) {
      expect(await outcome(access, 'not-a-secret-id', role.roleId)).toBe('TRANSIT_SECRET_ID_REFUSED')
    }
    count.secretId = role.secretId
    expect(await outcome(access)).toBe('done')
  })

  it('sends a refused secret id again after 16 minutes', async () => {
    const role = await newRole('mended')
    await bao.ask('POST', 'auth/approle/role/mended/secret-id/destroy', { secret_id: role.secretId })
    const clock = leapingClock()
    const access = open(counted(role).auth, { clock })
    expect(await outcome(access)).toBe('TRANSIT_SECRET_ID_REFUSED')
    await bao.ask('POST', 'auth/approle/role/mended/custom-secret-id', { secret_id: role.secretId })
    expect(await outcome(access)).toBe('TRANSIT_SECRET_ID_REFUSED')
    clock.leap(16 * 60_000)
    expect(await outcome(access)).toBe('done')
  })

  it('is told as denied while others have locked the role', async () => {
    const role = await newRole('locked')
    for (let tries = 0; tries < 5; tries += 1) {
      await outcome(open(counted({ ...role, secretId: `wrong-${tries}` }).auth))
    }
    expect(await outcome(open(counted(role).auth))).toBe('TRANSIT_LOGIN_DENIED')
  })

  it('is told as denied where no such login is mounted', async () => {
    const role = await newRole('elsewhere')
    const auth = { ...counted(role).auth, mountPath: 'not/there' } as AuthMethod
    expect(await outcome(open(auth), role.secretId)).toBe('TRANSIT_LOGIN_DENIED')
  })

  it('renews before the token ends, and logs in anew where renewing gains nothing', async () => {
    const count = counted(
      await newRole('short', USE_AND_RENEW, { token_period: 0, token_ttl: '2s', token_max_ttl: '4s' }),
    )
    const access = open(count.auth)
    expect(await outcome(access)).toBe('done')
    await waitUntil(() => count.logins >= 2, { what: 'a second login by itself', timeoutMs: 20_000 })
    expect(await outcome(access)).toBe('done')
  })

  it('logs in anew ahead of time where the policy does not let it renew', async () => {
    const count = counted(await newRole('no-renewal', USE_ONLY, { token_period: '1s' }))
    const access = open(count.auth)
    expect(await outcome(access)).toBe('done')
    await waitUntil(() => count.logins >= 3, { what: 'logins by itself', timeoutMs: 20_000 })
    expect(await outcome(access)).toBe('done')
  })

  it('leaves no token behind when it is closed, and does nothing afterwards', async () => {
    const count = counted(await newRole('closed', USE_AND_RENEW))
    const access = open(count.auth)
    expect(await outcome(access)).toBe('done')
    expect(await countTokensOf('closed')).toBe(1)
    await access.close()
    expect(await countTokensOf('closed')).toBe(0)
    expect(await outcome(access)).toBe('TRANSIT_CANCELLED')
    expect(count.logins).toBe(1)
  })
})

describe('jwt', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  function jwt(changes: object = {}): string {
    const nowSeconds = Math.floor(Date.now() / 1000)
    const claims = { iss: 'lab', sub: 'node', aud: 'openbao', iat: nowSeconds, exp: nowSeconds + 600, ...changes }
    const signed = `${base64UrlJson({ alg: 'ES256', typ: 'JWT' })}.${base64UrlJson(claims)}`
    const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    return `${signed}.${signature.toString('base64url')}`
  }

  beforeAll(async () => {
    const pem = publicKey.export({ type: 'spki', format: 'pem' })
    await bao.ask('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pem], bound_issuer: 'lab' })
    const bound = { bound_audiences: ['openbao'], bound_subject: 'node' }
    const token = { token_policies: [USE_ONLY], token_no_default_policy: true }
    await bao.ask('POST', 'auth/jwt/role/node', { role_type: 'jwt', user_claim: 'sub', ...bound, ...token })
  })

  it('logs in, and with a renewed file after an expired one', async () => {
    let current = jwt({ iat: 0, exp: 1 })
    const access = open({ method: 'jwt', role: 'node', readJwt: reads(() => current) })
    expect(await outcome(access, current)).toBe('TRANSIT_LOGIN_REFUSED')
    current = jwt()
    expect(await outcome(access)).toBe('done')
  })

  it.each([
    ['for another audience', 'node', { aud: 'somebody' }, 'audience'],
    ['for a role that is not there', 'nobody', {}, 'role "nobody" could not be found'],
  ])('is refused with the reason %s', async (_, role, changes, reason) => {
    const token = jwt(changes)
    const access = open({ method: 'jwt', role, readJwt: reads(token) })
    expect(await outcome(access, token)).toBe('TRANSIT_LOGIN_REFUSED')
    await expect(access.readKey(call)).rejects.toThrow(reason)
  })

  it('is told as unreadable if there is no JWT', async () => {
    const readJwt = async (): Promise<Secret> => await Promise.reject(new Error('no such file'))
    const access = open({ method: 'jwt', role: 'node', readJwt })
    expect(await outcome(access)).toBe('TRANSIT_CREDENTIAL_UNREADABLE')
    await expect(access.readKey(call)).rejects.toThrow('no such file')
  })
})

describe('kubernetes, with a stand-in for the TokenReview of kube-apiserver', () => {
  it('logs in, and is denied for a token that the reviewer refuses, and while it is not there', async () => {
    const issued = await authority.issue({ name: 'kube-apiserver', usage: 'server' })
    const tls = { cert: await readFile(issued.certificatePath), key: await readFile(issued.privateKeyPath) }
    const reviewer = await startTokenReviewer(tls)
    const kubernetes = (signature: 'good' | 'bad', role = 'node'): TransitAccess =>
      open({ method: 'kubernetes', role, readJwt: reads(serviceAccountToken(signature)) })
    try {
      const host = { kubernetes_host: reviewer.address, kubernetes_ca_cert: authority.certificatePem }
      await bao.ask('POST', 'auth/kubernetes/config', { ...host, disable_local_ca_jwt: true })
      const { name, namespace } = SERVICE_ACCOUNT
      const bound = { bound_service_account_names: name, bound_service_account_namespaces: namespace }
      const token = { token_policies: [USE_ONLY], token_no_default_policy: true }
      await bao.ask('POST', 'auth/kubernetes/role/node', { ...bound, ...token })
      expect(await outcome(kubernetes('good'))).toBe('done')
      expect(await outcome(kubernetes('bad'), serviceAccountToken('bad'))).toBe('TRANSIT_LOGIN_DENIED')
      expect(await outcome(kubernetes('good', 'nobody'))).toBe('TRANSIT_LOGIN_REFUSED')
    } finally {
      await reviewer.close()
    }
    expect(await outcome(kubernetes('good'))).toBe('TRANSIT_LOGIN_DENIED')
  })
})

describe('cert', () => {
  it('logs in with the client certificate, read again when another one is needed', async () => {
    const certificates = await Promise.all(
      ['node-a', 'stranger'].map(async name => await authority.issue({ name, usage: 'client' })),
    )
    const bound = { certificate: authority.certificatePem, allowed_common_names: ['node-a'] }
    await bao.ask('POST', 'auth/cert/certs/node', {
      ...bound,
      token_policies: [USE_ONLY],
      token_no_default_policy: true,
    })
    const withCertificate = (index: number, role?: string): TransitAccess =>
      open(
        { method: 'cert', ...(role === undefined ? {} : { role }) },
        {
          readClientCertificate: async () => {
            const { certificatePath = '', privateKeyPath = '' } = certificates[index] ?? {}
            const privateKeyPem = new Secret(Uint8Array.from(await readFile(privateKeyPath)))
            return { certificatePem: await readFile(certificatePath, 'utf8'), privateKeyPem }
          },
        },
      )
    expect(await outcome(withCertificate(0))).toBe('done')
    expect(await outcome(withCertificate(0, 'node'))).toBe('done')
    expect(await outcome(withCertificate(0, 'other'))).toBe('TRANSIT_LOGIN_REFUSED')
    expect(await outcome(withCertificate(1))).toBe('TRANSIT_LOGIN_REFUSED')
    expect(await outcome(withCertificate(2))).toBe('TRANSIT_CREDENTIAL_UNREADABLE')
    expect(await outcome(open({ method: 'cert' }))).toBe('TRANSIT_LOGIN_REFUSED')
  })
})

describe('a token from a file', () => {
  const tokenMethod = (text: string | (() => string)): AuthMethod => ({ method: 'token', readToken: reads(text) })

  it('is denied once it has expired or was revoked, and a new one in the file is used at once', async () => {
    let current = await bao.token([USE_ONLY], { ttl: '3s' })
    const access = open(tokenMethod(() => current))
    expect(await outcome(access)).toBe('done')
    const expired = await waitUntil(
      async () => {
        const seen = await outcome(access, current)
        return seen === 'done' ? undefined : seen
      },
      { what: 'the token to expire', timeoutMs: 20_000 },
    )
    expect(expired).toBe('TRANSIT_DENIED')
    current = await bao.token([USE_ONLY])
    expect(await outcome(access)).toBe('done')
    await bao.ask('POST', 'auth/token/revoke', { token: current })
    expect(await outcome(access, current)).toBe('TRANSIT_DENIED')
    current = await bao.token([USE_ONLY])
    expect(await outcome(access)).toBe('done')
  })

  it('is kept alive from its first use on, and not revoked when it is closed', async () => {
    const token = await bao.token([USE_AND_RENEW], { period: '2s' })
    const ttl = async (): Promise<Fields> => (await bao.ask('POST', 'auth/token/lookup', { token })).data as Fields
    const first = await ttl()
    const access = open(tokenMethod(token))
    expect(await outcome(access)).toBe('done')
    const lastRenewal = async (): Promise<number> => Number((await ttl()).last_renewal_time ?? 0)
    await waitUntil(async () => (await lastRenewal()) >= Number(first.creation_time) + 3, {
      what: 'renewals past the first period',
      timeoutMs: 20_000,
    })
    expect(await outcome(access)).toBe('done')
    await access.close()
    expect((await ttl()).id).toBe(token)
  })

  it.each([
    ['empty', ''],
    ['with a line break', 's.token\n'],
  ])('is unreadable if it is %s', async (_, text) => {
    expect(await outcome(open(tokenMethod(text)))).toBe('TRANSIT_CREDENTIAL_UNREADABLE')
  })

  it('is denied if it never was one', async () => {
    expect(await outcome(open(tokenMethod('s.never-was-a-token')), 's.never-was-a-token')).toBe('TRANSIT_DENIED')
  })
})
