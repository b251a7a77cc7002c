import { randomBytes } from 'node:crypto'
import { copyFile, writeFile } from 'node:fs/promises'
import { Secret } from '@sealwright/secret'
import {
  type CertificateAuthority,
  certificateAuthority,
  freePort,
  type IssuedCertificate,
  type OpenBaoNode,
  slowProxy,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
} from '@sealwright/testing-rig'
import {
  closeTransits,
  type Fields,
  KEY_NAME,
  poolOf,
  prepareTransit,
  reads,
  rule,
  type SecondOpenBao,
  USE_AND_READ,
  USE_ONLY,
} from '../testing/second-openbao.ts'
import { type TransitCiphertext } from '../transit/ciphertext.ts'
import { TransitError } from '../transit/error.ts'
import { type TransitPool, type TransitPoolOptions } from './transit-pool.ts'

/** One real server for the whole file, which is stopped, frozen and sealed by some of the tests. */
let folder: TemporaryFolder
let authority: CertificateAuthority
let certificate: IssuedCertificate
let node: OpenBaoNode
let bao: SecondOpenBao

const call = { signal: new AbortController().signal, associatedData: Uint8Array.of(1, 2, 3) }
const RECOVERY_MS = 20_000

beforeAll(async () => {
  folder = await temporaryFolder()
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  authority = await certificateAuthority({ directory: folder.join('tls') })
  await copyFile(authority.certificatePath, folder.join('ca.pem'))
  certificate = await authority.issue({ name: 'n1', usage: 'server' })
  node = await startOpenBao({
    directory: folder.join('n1'),
    nodeId: 'n1',
    apiPort: await freePort(),
    clusterPort: await freePort(),
    tls: { ...certificate, caPath: authority.certificatePath },
    seal: { kind: 'static', keyFile },
  })
  bao = await prepareTransit(node)
})

afterEach(closeTransits)

afterAll(async () => {
  await node.stop()
  await folder.remove()
})

/** A pool with a token of this policy. */
async function poolWith(policy = USE_AND_READ, options: Partial<TransitPoolOptions> = {}): Promise<TransitPool> {
  const token = await bao.token([policy])
  return poolOf([node], { auth: { method: 'token', readToken: reads(token) }, ...options })
}

/** A key of its own for a test that harms it. */
async function newKey(name: string): Promise<string> {
  await bao.ask('POST', `transit/keys/${name}`, { type: 'aes256-gcm96' })
  return name
}

const freshSecret = (): Secret => new Secret(Uint8Array.from(randomBytes(32)))

async function encrypt(pool: TransitPool, keyVersion = 1, plaintext = freshSecret()): Promise<TransitCiphertext> {
  return await pool.encrypt(plaintext, { ...call, keyVersion })
}

/** `done`, or the code. */
async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'done',
    (error: unknown) => {
      if (error instanceof TransitError) return error.code
      throw error
    },
  )
}

const decrypting = async (pool: TransitPool, ciphertext: TransitCiphertext): Promise<string> =>
  await outcomeOf(pool.decrypt(ciphertext, call))

/** Waits for an outcome that does not come at once. */
async function waitForDecryption(pool: TransitPool, ciphertext: TransitCiphertext, expected = 'done'): Promise<void> {
  let last = ''
  await waitUntil(async () => (last = await decrypting(pool, ciphertext)) === expected, {
    what: expected,
    timeoutMs: RECOVERY_MS,
    describe: () => `the last outcome was ${last}`,
  })
}

describe('a transit key that is used by many at once', () => {
  it.each([1, 16, 64])('gives each of %i callers its own plaintext, a thousand times', async callers => {
    const pool = await poolWith(USE_ONLY)
    const plaintexts = Array.from({ length: 1_000 }, freshSecret)
    const ciphertexts: TransitCiphertext[] = []
    let wrong = 0
    const inTurns = async (work: (index: number) => Promise<void>): Promise<void> => {
      let next = 0
      const worker = async (): Promise<void> => {
        while (next < plaintexts.length) await work(next++)
      }
      await Promise.all(Array.from({ length: callers }, worker))
    }
    await inTurns(async index => {
      ciphertexts[index] = await encrypt(pool, 1, plaintexts[index])
    })
    await inTurns(async index => {
      const ciphertext = ciphertexts[index]
      const plaintext = plaintexts[index]
      if (ciphertext === undefined || plaintext === undefined) throw new Error('there are a thousand')
      const decrypted = await pool.decrypt(ciphertext, call)
      if (!decrypted.equals(plaintext)) wrong += 1
    })
    expect(wrong).toBe(0)
    expect(new Set(ciphertexts.map(({ text }) => text)).size).toBe(1_000)
  })

  it('takes batches of the largest size', async () => {
    const pool = await poolWith(USE_ONLY, { maxBatchItems: 128 })
    const plaintexts = Array.from({ length: 256 }, () => new Secret(Uint8Array.from(randomBytes(256))))
    const associatedData = randomBytes(4_096)
    const ciphertexts = await Promise.all(
      plaintexts.map(async plaintext => await pool.encrypt(plaintext, { ...call, associatedData, keyVersion: 1 })),
    )
    const decrypted = await Promise.all(
      ciphertexts.map(async ciphertext => await pool.decrypt(ciphertext, { ...call, associatedData })),
    )
    expect(decrypted.every((each, index) => plaintexts[index]?.equals(each))).toBe(true)
  })

  it('fails only for those whose ciphertext, version or associated data is wrong', async () => {
    const pool = await poolWith(USE_ONLY)
    const plaintexts = [freshSecret(), freshSecret()]
    const [first, second] = await Promise.all(plaintexts.map(async plaintext => await encrypt(pool, 1, plaintext)))
    if (first === undefined || second === undefined) throw new Error('there are two')
    const bytes = Buffer.from(first.text.slice('vault:v1:'.length), 'base64')
    bytes[20] = (bytes[20] ?? 0) ^ 1
    const outcomes = await Promise.all([
      decrypting(pool, first),
      decrypting(pool, { ...first, text: `vault:v1:${bytes.toString('base64')}` }),
      outcomeOf(pool.decrypt(first, { ...call, associatedData: Uint8Array.of(1, 2) })),
      decrypting(pool, { text: first.text.replace('v1', 'v9'), keyVersion: 9 }),
      decrypting(pool, { text: 'vault:v1:AAAA', keyVersion: 1 }),
      decrypting(pool, second),
    ])
    expect(outcomes).toEqual([
      'done',
      'TRANSIT_CIPHERTEXT_REFUSED',
      'TRANSIT_CIPHERTEXT_REFUSED',
      'TRANSIT_VERSION_TOO_NEW',
      'TRANSIT_CIPHERTEXT_REFUSED',
      'done',
    ])
    const encryptions = await Promise.all([1, 2, 1].map(async version => await outcomeOf(encrypt(pool, version))))
    expect(encryptions).toEqual(['done', 'TRANSIT_VERSION_TOO_NEW', 'done'])
    // All of a batch may be wrong, too: OpenBao then answers with another status.
    expect(await decrypting(pool, { text: 'vault:v1:AAAA', keyVersion: 1 })).toBe('TRANSIT_CIPHERTEXT_REFUSED')
  })
})

describe('the life of a key', () => {
  it('is told: its versions, when each was made, and which of them still work', async () => {
    const keyName = await newKey('living')
    const pool = await poolWith(USE_AND_READ, { keyName })
    const beforeMs = Date.now()
    const old = await encrypt(pool)
    await bao.ask('POST', `transit/keys/${keyName}/rotate`)
    await bao.ask('POST', `transit/keys/${keyName}/rotate`)
    const key = await pool.readKey(call)
    expect(key).toMatchObject({
      type: 'aes256-gcm96',
      latestVersion: 3,
      minDecryptionVersion: 1,
      minAvailableVersion: 0,
    })
    expect([...key.versions.keys()]).toEqual([1, 2, 3])
    for (const createdAtMs of key.versions.values()) expect(Math.abs(createdAtMs - beforeMs)).toBeLessThan(60_000)
    expect((await encrypt(pool, 2)).keyVersion).toBe(2)
    expect(await decrypting(pool, old)).toBe('done')

    await bao.ask('POST', `transit/keys/${keyName}/config`, { min_decryption_version: 2, min_encryption_version: 3 })
    expect(await decrypting(pool, old)).toBe('TRANSIT_KEY_VERSION')
    expect(await outcomeOf(encrypt(pool, 2))).toBe('TRANSIT_VERSION_NOT_ENCRYPTING')
    await bao.ask('POST', `transit/keys/${keyName}/trim`, { min_available_version: 2 })
    expect(await pool.readKey(call)).toMatchObject({
      ...{ minDecryptionVersion: 2, minEncryptionVersion: 3, minAvailableVersion: 2 },
      versions: new Map([...key.versions].filter(([version]) => version >= 2)),
    })
  })

  it('ends, and another key has other dates', async () => {
    const keyName = await newKey('mortal')
    const pool = await poolWith(USE_AND_READ, { keyName })
    const sealed = await encrypt(pool)
    const first = await pool.readKey(call)
    await bao.ask('DELETE', `transit/keys/${keyName}/soft-delete`).catch(async () => {
      await bao.ask('POST', `transit/keys/${keyName}/config`, { deletion_allowed: true })
      await bao.ask('DELETE', `transit/keys/${keyName}/soft-delete`)
    })
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_KEY_SOFT_DELETED')
    expect(await outcomeOf(pool.readKey(call))).toBe('TRANSIT_KEY_SOFT_DELETED')
    await bao.ask('POST', `transit/keys/${keyName}/soft-delete-restore`)
    expect(await decrypting(pool, sealed)).toBe('done')
    await bao.ask('POST', `transit/keys/${keyName}/config`, { deletion_allowed: true })
    await bao.ask('DELETE', `transit/keys/${keyName}`)
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_KEY_MISSING')
    expect(await outcomeOf(pool.readKey(call))).toBe('TRANSIT_KEY_MISSING')
    // OpenBao counts whole seconds.
    const madeAtMs = first.versions.get(1) ?? 0
    await waitUntil(() => Date.now() >= madeAtMs + 1_000, { what: 'the next second', timeoutMs: 5_000 })
    await newKey(keyName)
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_CIPHERTEXT_REFUSED')
    expect((await pool.readKey(call)).versions.get(1)).not.toBe(madeAtMs)
  })

  it('is refused if it cannot do this', async () => {
    await bao.ask('POST', 'transit/keys/derived', { type: 'aes256-gcm96', derived: true })
    const pool = await poolWith(USE_AND_READ, { keyName: 'derived' })
    expect(await outcomeOf(pool.readKey(call))).toBe('TRANSIT_KEY_UNSUITABLE')
    expect(await outcomeOf(encrypt(pool))).toBe('TRANSIT_KEY_UNSUITABLE')
  })

  it('is not told where the policy does not let us read it, with the line that is missing', async () => {
    const pool = await poolWith(USE_ONLY)
    await expect(pool.readKey(call)).rejects.toMatchObject({
      code: 'TRANSIT_DENIED',
      message: expect.stringContaining(`path "transit/keys/${KEY_NAME}" { capabilities = ["read"] }`) as string,
    })
    expect(await outcomeOf(encrypt(pool))).toBe('done')
  })

  it('is the same in a mount of another name', async () => {
    await bao.ask('POST', 'sys/mounts/team/kms', { type: 'transit' })
    await bao.ask('POST', 'team/kms/keys/k', { type: 'aes256-gcm96' })
    const policy = ['encrypt', 'decrypt'].map(verb => rule(`team/kms/${verb}/k`, 'update')).join('\n')
    await bao.ask('PUT', 'sys/policies/acl/mount', { policy })
    const pool = await poolWith('mount', { mountPath: '/team/kms/', keyName: 'k' })
    expect(await decrypting(pool, await encrypt(pool))).toBe('done')
    expect(await outcomeOf(encrypt(await poolWith('mount', { mountPath: 'team/gone' })))).toBe('TRANSIT_DENIED')
  })
})

describe('the way in', () => {
  const loginTo = async (role: string, policies: readonly string[]): Promise<TransitPoolOptions['auth']> => {
    await bao.ask('POST', `auth/approle/role/${role}`, {
      ...{ token_policies: policies, token_no_default_policy: true, token_period: '10m' },
    })
    const { role_id: roleId } = (await bao.ask('GET', `auth/approle/role/${role}/role-id`)).data as Fields
    const { secret_id: secretId } = (await bao.ask('POST', `auth/approle/role/${role}/secret-id`)).data as Fields
    return { method: 'approle', readRoleId: reads(String(roleId)), readSecretId: reads(String(secretId)) }
  }

  /** Whoever has a token of this role. */
  const revokeAll = async (): Promise<void> => {
    await bao.ask('PUT', 'sys/leases/revoke-prefix/auth/approle')
  }

  beforeAll(async () => {
    await bao.ask('POST', 'sys/auth/approle', { type: 'approle' })
  })

  it('is one login for all who wait, and another one after the token was revoked', async () => {
    const metrics = { logins: 0 }
    const auth = await loginTo('many', [USE_ONLY])
    if (auth.method !== 'approle') throw new Error('it is an approle login')
    const { readSecretId } = auth
    const counted = {
      ...auth,
      readSecretId: async (options: { readonly signal: AbortSignal }) => {
        metrics.logins += 1
        return await readSecretId(options)
      },
    }
    let nowMs = performance.now()
    // A token this young is not blamed, so the test makes it older.
    const clock = {
      nowMs: () => nowMs,
      after: (delayMs: number, run: () => void) => {
        const timer = setTimeout(run, delayMs)
        return () => {
          clearTimeout(timer)
        }
      },
    }
    const pool = poolOf([node], { auth: counted, clock })
    const sealed = await encrypt(pool)
    expect(metrics.logins).toBe(1)
    await revokeAll()
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_DENIED')
    nowMs += 6_000
    const outcomes = await Promise.all(Array.from({ length: 200 }, async () => await decrypting(pool, sealed)))
    expect(new Set(outcomes)).toEqual(new Set(['done']))
    expect(metrics.logins).toBe(2)
  })

  it('is closed by a policy that was cut, and open again by one that was restored', async () => {
    const both = ['encrypt', 'decrypt'].map(verb => rule(`transit/${verb}/${KEY_NAME}`, 'update'))
    await bao.ask('PUT', 'sys/policies/acl/cut', { policy: both.join('\n') })
    const pool = poolOf([node], { auth: await loginTo('cut', ['cut']) })
    const sealed = await encrypt(pool)
    await bao.ask('PUT', 'sys/policies/acl/cut', { policy: both[0] })
    await expect(pool.decrypt(sealed, call)).rejects.toMatchObject({
      code: 'TRANSIT_DENIED',
      message: expect.stringContaining(`path "transit/decrypt/${KEY_NAME}" { capabilities = ["update"] }`) as string,
    })
    expect(await outcomeOf(encrypt(pool))).toBe('done')
    await bao.ask('PUT', 'sys/policies/acl/cut', { policy: both.join('\n') })
    expect(await decrypting(pool, sealed)).toBe('done')
  })

  it('is a token in a file, which may be replaced by another one at any time', async () => {
    let text = await bao.token([USE_ONLY])
    const pool = poolOf([node], { auth: { method: 'token', readToken: reads(() => text) } })
    const sealed = await encrypt(pool)
    const old = text
    text = await bao.token([USE_ONLY])
    await bao.ask('POST', 'auth/token/revoke', { token: old })
    expect(await decrypting(pool, sealed)).toBe('done')
  })

  it('is refused for a secret id that is wrong, and told', async () => {
    const auth = await loginTo('wrong', [USE_ONLY])
    if (auth.method !== 'approle') throw new Error('it is an approle login')
    const pool = poolOf([node], { auth: { ...auth, readSecretId: reads('wrong') } })
    expect(await outcomeOf(encrypt(pool))).toBe('TRANSIT_SECRET_ID_REFUSED')
  })

  it('gives back the token of a login when it is closed', async () => {
    const auth = await loginTo('closing', [USE_ONLY, 'self'])
    await bao.ask('PUT', 'sys/policies/acl/self', { policy: rule('auth/token/revoke-self', 'update') })
    const tokens = async (): Promise<number> =>
      ((await bao.ask('GET', 'auth/token/accessors?list=true')).data as { keys: unknown[] }).keys.length
    const before = await tokens()
    const pool = poolOf([node], { auth })
    await encrypt(pool)
    expect(await tokens()).toBe(before + 1)
    await pool.close()
    expect(await tokens()).toBe(before)
  })
})

describe('a certificate', () => {
  it('of another authority is refused, and taken once our file is right, with no restart', async () => {
    const other = await certificateAuthority({ directory: folder.join('other') })
    const caPath = folder.join('changing.pem')
    await copyFile(other.certificatePath, caPath)
    const pool = await poolWith(USE_ONLY, { trust: { kind: 'ca-file', path: caPath } })
    expect(await outcomeOf(encrypt(pool))).toBe('TRANSIT_CERTIFICATE_UNTRUSTED')
    expect(pool.health()).toMatchObject([{ state: 'failing', code: 'TRANSIT_CERTIFICATE_UNTRUSTED' }])
    await copyFile(authority.certificatePath, caPath)
    expect(await outcomeOf(encrypt(pool))).toBe('done')
  })
})

describe('a node in trouble', () => {
  it('that is stopped is told at once, and used as soon as it is back', async () => {
    const pool = await poolWith()
    const sealed = await encrypt(pool)
    await node.stop()
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_UNREACHABLE')
    await node.start({ until: 'active' })
    expect(await decrypting(pool, sealed)).toBe('done')
  })

  it('that was killed and is back is found on a dead connection, and asked once more', async () => {
    const pool = await poolWith()
    const sealed = await encrypt(pool)
    node.kill()
    await node.process().exited
    await node.start({ until: 'active' })
    expect(await decrypting(pool, sealed)).toBe('done')
  })

  it('that is frozen is not waited for, and is used as soon as it goes on', async () => {
    const pool = await poolWith()
    const sealed = await encrypt(pool)
    node.kill('SIGSTOP')
    try {
      const first = await Promise.all(Array.from({ length: 10 }, async () => await decrypting(pool, sealed)))
      expect(new Set(first)).toEqual(new Set(['TRANSIT_TIMEOUT']))
      expect(pool.health()).toMatchObject([{ state: 'silent', code: 'TRANSIT_TIMEOUT' }])
      const startedMs = performance.now()
      for (let calls = 0; calls < 100; calls += 1) expect(await decrypting(pool, sealed)).toBe('TRANSIT_TIMEOUT')
      // A hundred calls that waited would take minutes.
      expect(performance.now() - startedMs).toBeLessThan(5_000)
    } finally {
      node.kill('SIGCONT')
    }
    await waitForDecryption(pool, sealed)
    expect(pool.health()).toMatchObject([{ state: 'answering' }])
  })

  it('that is sealed is told, and used once it is unsealed', async () => {
    const pool = await poolWith()
    const sealed = await encrypt(pool)
    await bao.ask('PUT', 'sys/seal')
    expect(await decrypting(pool, sealed)).toBe('TRANSIT_SEALED')
    expect(pool.health()).toMatchObject([{ state: 'failing', code: 'TRANSIT_SEALED' }])
    await node.restart({ until: 'active' })
    expect(await decrypting(pool, sealed)).toBe('done')
  })

  it('with a quota for requests is told, once waiting a little does not help', async () => {
    const pool = await poolWith()
    const sealed = await encrypt(pool)
    await bao.ask('POST', 'sys/quotas/rate-limit/tight', { rate: 0.01, path: 'transit' })
    await waitForDecryption(pool, sealed, 'TRANSIT_RATE_LIMITED')
    await bao.ask('DELETE', 'sys/quotas/rate-limit/tight')
    await waitForDecryption(pool, sealed)
  })

  it('behind a slow way is used by as many at once as ask', async () => {
    await using proxy = await slowProxy(node.apiAddress, 100)
    const pool = await poolWith(USE_ONLY, { addresses: [proxy.address] })
    const sealed = await encrypt(pool)
    const startedMs = performance.now()
    const outcomes = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const each: string[] = []
        for (let calls = 0; calls < 5; calls += 1) each.push(await decrypting(pool, sealed))
        return each
      }),
    )
    expect(new Set(outcomes.flat())).toEqual(new Set(['done']))
    // One after another they would take half a minute.
    expect(performance.now() - startedMs).toBeLessThan(10_000)
  })

  it('behind a way that is too slow is told', async () => {
    await using proxy = await slowProxy(node.apiAddress, 700)
    const pool = await poolWith(USE_ONLY, { addresses: [proxy.address], timeoutMs: 600 })
    expect(await outcomeOf(encrypt(pool))).toBe('TRANSIT_TIMEOUT')
  })
})
