import { generateKeyPairSync, sign } from 'node:crypto'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { KMS_KEY, KMS_POLICY, startTransitOpenBao, type TransitOpenBao } from '@sealwright/testing-kms'
import { waitUntil } from '@sealwright/testing-rig'
import { type KmsSubject, REFUSED, startSubject } from './kms-subject.ts'
import { sharedScope } from './test-scope.ts'

// How the plugin proves itself to OpenBao, and what it does when it is no longer believed. Nothing restarts it.
const scope = sharedScope()

const REFUSAL = `UNAVAILABLE: ${REFUSED}`
const ILLNESS = `KMS_BACKEND_REFUSED: ${REFUSED}`
const TIMEOUT_MS = 60_000
/** OpenBao locks a role after five of them, for 15 minutes. */
const REFUSED_SECRET_IDS_THAT_LOCK = 5

let bao: TransitOpenBao
let subjects = 0

beforeAll(async () => {
  bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao'), withTls: true }))
  for (const type of ['approle', 'jwt', 'cert']) {
    await bao.administer({ method: 'POST', path: `sys/auth/${type}`, body: { type } })
  }
}, 120_000)

/** A plugin that logs in like this. */
async function subjectWith(
  auth: Readonly<Record<string, unknown>>,
  secrets: readonly string[],
  tls: object = {},
): Promise<KmsSubject> {
  subjects += 1
  return await startSubject(scope, {
    name: `plugin-${subjects}`,
    backend: bao.backend({ auth, tls: { caFile: bao.authority?.certificatePath, ...tls } }),
    forbidden: [KMS_KEY, new URL(bao.node.apiAddress).host, 'transit/', scope.folder.path, ...secrets],
  })
}

async function isRefused(subject: KmsSubject): Promise<void> {
  await subject.waitForDecrypt(REFUSAL)
  await subject.waitUntilIll(ILLNESS)
  expect(await subject.metric('sealwright_kms_healthy')).toBe(0)
}

async function isWell(subject: KmsSubject): Promise<void> {
  await subject.waitForDecrypt('OK')
  expect(await subject.encrypt()).toBe('OK')
  await subject.waitUntilWell()
}

const post = async (path: string, body: object = {}): Promise<Readonly<Record<string, string>>> => {
  const answer = await bao.administer({ method: 'POST', path, body })
  return (answer.body as { readonly data?: Readonly<Record<string, string>> } | undefined)?.data ?? {}
}

describe('an approle', () => {
  interface Role {
    readonly auth: Readonly<Record<string, unknown>>
    readonly secrets: readonly string[]
    readonly secretIdFile: string
    /** What the accessors of its tokens are, of those that live. */
    readonly accessors: () => Promise<readonly string[]>
    readonly newSecretId: () => Promise<string>
  }

  async function newRole(name: string, fields: object = {}): Promise<Role> {
    await post(`auth/approle/role/${name}`, { token_policies: ['kms'], token_no_default_policy: true, ...fields })
    const { body } = await bao.administer({ path: `auth/approle/role/${name}/role-id` })
    const { role_id: roleId } = (body as { readonly data: { readonly role_id: string } }).data
    const newSecretId = async (): Promise<string> => (await post(`auth/approle/role/${name}/secret-id`)).secret_id ?? ''
    const secretId = await newSecretId()
    const [roleIdFile, secretIdFile] = [scope.folder.join(`${name}.role-id`), scope.folder.join(`${name}.secret-id`)]
    await writeFile(roleIdFile, roleId, { mode: 0o600 })
    await writeFile(secretIdFile, secretId, { mode: 0o600 })
    return {
      ...{ auth: { method: 'approle', roleIdFile, secretIdFile }, secrets: [roleId, secretId] },
      ...{ secretIdFile, newSecretId, accessors: async () => await accessorsOf(name) },
    }
  }

  it('has its token renewed while that can be, and logs in again when it cannot, with no call lost', async () => {
    const role = await newRole('short', { token_ttl: '2s', token_max_ttl: '4s' })
    const subject = await subjectWith(role.auth, role.secrets)
    const [first = ''] = await role.accessors()
    expect(first).not.toBe('')
    const outcomes = new Set<string>()
    // Past the longest life of one token, and of the next.
    for (const old of [first, undefined]) {
      const before = old ?? (await role.accessors()).at(-1) ?? ''
      await waitUntil(
        async () => {
          outcomes.add(await subject.decrypt())
          return !(await role.accessors()).includes(before)
        },
        { what: 'the end of a token', timeoutMs: TIMEOUT_MS },
      )
    }
    expect([...outcomes]).toEqual(['OK'])
    expect(await subject.metric('sealwright_kms_probes_total{result="failed"}')).toBe(0)
    expect(await subject.health()).toBe('ok')
  })

  it('logs in again after its token was revoked', async () => {
    const role = await newRole('revoked')
    const subject = await subjectWith(role.auth, role.secrets)
    await post('sys/leases/revoke-prefix/auth/approle', { sync: true })
    expect(await role.accessors()).toEqual([])
    await isWell(subject)
    expect(await role.accessors()).toHaveLength(1)
  })

  it('is refused with a secret id that is wrong, does not lock its role by trying, and is let in by a new one', async () => {
    const role = await newRole('mistaken')
    const subject = await subjectWith(role.auth, role.secrets)
    await writeFile(role.secretIdFile, 'never-was-a-secret-id')
    await post('sys/leases/revoke-prefix/auth/approle', { sync: true })
    await isRefused(subject)
    const failedBefore = await subject.metric('sealwright_kms_probes_total{result="failed"}')
    await waitUntil(
      async () =>
        (await subject.metric('sealwright_kms_probes_total{result="failed"}')) >
        failedBefore + 2 * REFUSED_SECRET_IDS_THAT_LOCK,
      { what: 'more probes than would lock the role', timeoutMs: TIMEOUT_MS },
    )
    await writeFile(role.secretIdFile, await role.newSecretId())
    await isWell(subject)
  })

  it('gives its token back when the plugin is stopped', async () => {
    const role = await newRole('leaving')
    const subject = await subjectWith(role.auth, role.secrets)
    expect(await role.accessors()).toHaveLength(1)
    expect(await subject.plugin.stop()).toEqual({ code: 0, signal: null })
    expect(await role.accessors()).toEqual([])
  })
})

describe('a policy', () => {
  afterEach(async () => {
    await bao.writePolicy(KMS_POLICY)
  })

  it.each([
    ['nothing at all', 'path "nowhere" { capabilities = ["read"] }'],
    ['everything but to decrypt', withoutRule('decrypt')],
  ])('that is cut down to %s is felt at once, and so is its return', async (_, policy) => {
    const subject = await subjectWith({ method: 'token', tokenFile: bao.tokenFile }, [await bao.writeToken()])
    await bao.writePolicy(policy)
    await isRefused(subject)
    await bao.writePolicy(KMS_POLICY)
    await isWell(subject)
  })

  it('that no longer shows the key is told as an illness, and calls go on', async () => {
    const subject = await subjectWith({ method: 'token', tokenFile: bao.tokenFile }, [await bao.writeToken()])
    await bao.writePolicy(withoutRule('keys'))
    await subject.waitUntilIll(ILLNESS)
    expect([await subject.encrypt(), await subject.decrypt()]).toEqual(['OK', 'OK'])
    await bao.writePolicy(KMS_POLICY)
    await isWell(subject)
  })
})

describe('a token in a file', () => {
  it('is refused once it was revoked, and a new one in the file is used without a word', async () => {
    const token = await bao.writeToken()
    const subject = await subjectWith({ method: 'token', tokenFile: bao.tokenFile }, [token])
    await post('auth/token/revoke', { token })
    await isRefused(subject)
    await bao.writeToken()
    await isWell(subject)
  })

  it('that has expired is refused, and a new one in the file is used', async () => {
    const token = await bao.writeToken({ ttl: '3s', explicit_max_ttl: '3s' })
    const subject = await subjectWith({ method: 'token', tokenFile: bao.tokenFile }, [token])
    await isRefused(subject)
    await bao.writeToken()
    await isWell(subject)
  })

  it.each<[string, () => Promise<unknown>]>([
    [
      'gone',
      async () => {
        await rm(bao.tokenFile)
      },
    ],
    [
      'empty',
      async () => {
        await writeFile(bao.tokenFile, '')
      },
    ],
    [
      'of two lines',
      async () => {
        await writeFile(bao.tokenFile, 'one\ntwo\n')
      },
    ],
  ])('is refused while the file is %s, and used once it is there again', async (_, harm) => {
    const subject = await subjectWith({ method: 'token', tokenFile: bao.tokenFile }, [await bao.writeToken()])
    await harm()
    await isRefused(subject)
    await bao.writeToken()
    await isWell(subject)
  })
})

describe('a JWT', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  function jwt(subject: string): string {
    const nowSeconds = Math.floor(Date.now() / 1_000)
    const claims = { iss: 'lab', sub: subject, aud: 'openbao', iat: nowSeconds, exp: nowSeconds + 600 }
    const signed = [{ alg: 'ES256', typ: 'JWT' }, claims]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    return `${signed}.${signature.toString('base64url')}`
  }

  it('lets the plugin in, not with one that is for somebody else, and again with a good one in the file', async () => {
    const pem = publicKey.export({ type: 'spki', format: 'pem' })
    await post('auth/jwt/config', { jwt_validation_pubkeys: [pem], bound_issuer: 'lab' })
    await post('auth/jwt/role/kms', {
      ...{ role_type: 'jwt', user_claim: 'sub', bound_audiences: ['openbao'], bound_subject: 'kms-plugin' },
      ...{ token_policies: ['kms'], token_no_default_policy: true },
    })
    const jwtFile = scope.folder.join('jwt')
    const [good, foreign] = [jwt('kms-plugin'), jwt('somebody-else')]
    await writeFile(jwtFile, good, { mode: 0o600 })
    const subject = await subjectWith({ method: 'jwt', role: 'kms', jwtFile }, [good, foreign])
    await writeFile(jwtFile, foreign)
    await post('sys/leases/revoke-prefix/auth/jwt', { sync: true })
    await isRefused(subject)
    await writeFile(jwtFile, jwt('kms-plugin'))
    await isWell(subject)
  })
})

describe('a client certificate', () => {
  it('lets the plugin in, not with one for another name, and again with a good one in the files', async () => {
    const { authority } = bao
    if (authority === undefined) throw new Error('this OpenBao has no TLS')
    const [good, foreign] = await Promise.all(
      ['kms-plugin', 'stranger'].map(async name => await authority.issue({ name, usage: 'client' })),
    )
    if (good === undefined || foreign === undefined) throw new Error('two were issued')
    await post('auth/cert/certs/kms', {
      ...{ certificate: authority.certificatePem, allowed_common_names: ['kms-plugin'] },
      ...{ token_policies: ['kms'], token_no_default_policy: true },
    })
    const [certFile, keyFile] = [scope.folder.join('client.crt'), scope.folder.join('client.key')]
    const give = async ({ certificatePath, privateKeyPath }: typeof good): Promise<void> => {
      await copyFile(certificatePath, certFile)
      await copyFile(privateKeyPath, keyFile)
    }
    await give(good)
    const subject = await subjectWith({ method: 'cert', role: 'kms' }, [], { certFile, keyFile })
    await give(foreign)
    await post('sys/leases/revoke-prefix/auth/cert', { sync: true })
    await isRefused(subject)
    await give(good)
    await isWell(subject)
  })
})

function withoutRule(verb: string): string {
  return KMS_POLICY.split('\n')
    .filter(line => !line.includes(`transit/${verb}/`))
    .join('\n')
}

/** Of the tokens that an approle has given out, and that live. */
async function accessorsOf(role: string): Promise<readonly string[]> {
  const { body } = await bao.administer({ method: 'LIST', path: 'auth/token/accessors' })
  const { keys } = (body as { readonly data: { readonly keys: readonly string[] } }).data
  const living = await Promise.all(
    keys.map(async accessor => {
      // It may have expired meanwhile.
      const answer = await bao.node.request({
        ...{ method: 'POST', path: 'auth/token/lookup-accessor', token: bao.rootToken, body: { accessor } },
      })
      const { data } = answer.body as { readonly data?: { readonly meta?: { readonly role_name?: string } | null } }
      return data?.meta?.role_name === role ? [accessor] : []
    }),
  )
  return living.flat()
}
