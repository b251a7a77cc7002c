import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { Secret } from '@sealwright/secret'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
  type TemporaryFolder,
  waitUntil,
  waitUntilApplied,
} from '@sealwright/testing-rig'
import {
  closeTransits,
  type Fields,
  poolOf,
  prepareTransit,
  reads,
  type SecondOpenBao,
  USE_ONLY,
} from '../testing/second-openbao.ts'
import { type TransitCiphertext } from '../transit/ciphertext.ts'
import { TransitError } from '../transit/error.ts'
import { type TransitPool, type TransitPoolOptions } from './transit-pool.ts'

/** A leader and a standby, each of which gets into trouble and out of it. */
let folder: TemporaryFolder
let leader: OpenBaoNode
let standby: OpenBaoNode
let bao: SecondOpenBao
let auth: TransitPoolOptions['auth']

const call = { signal: new AbortController().signal, associatedData: new Uint8Array(16) }

beforeAll(async () => {
  folder = await temporaryFolder()
  const authority = await certificateAuthority({ directory: folder.join('tls') })
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const places = await Promise.all(
    ['n1', 'n2'].map(async nodeId => ({ nodeId, apiPort: await freePort(), clusterPort: await freePort() })),
  )
  const retryJoin = places.map(({ apiPort }) => `https://127.0.0.1:${apiPort}`)
  const [first, second] = await Promise.all(
    places.map(async place => {
      const issued = await authority.issue({ name: place.nodeId, usage: 'server' })
      const tls = { ...issued, caPath: authority.certificatePath }
      const directory = folder.join(place.nodeId)
      return await startOpenBao({ ...place, directory, tls, seal: { kind: 'static', keyFile }, retryJoin })
    }),
  )
  if (first === undefined || second === undefined) throw new Error('there are two nodes')
  leader = first
  standby = second
  bao = await prepareTransit(leader)
  await bao.ask('POST', 'sys/auth/approle', { type: 'approle' })
  const role = { token_policies: [USE_ONLY], token_no_default_policy: true, token_period: '10m' }
  await bao.ask('POST', 'auth/approle/role/kms', role)
  const { role_id: roleId } = (await bao.ask('GET', 'auth/approle/role/kms/role-id')).data as Fields
  const { secret_id: secretId } = (await bao.ask('POST', 'auth/approle/role/kms/secret-id')).data as Fields
  auth = { method: 'approle', readRoleId: reads(String(roleId)), readSecretId: reads(String(secretId)) }
  await standby.waitFor('standby')
  await waitUntilApplied(leader, [standby], { timeoutMs: 30_000 })
})

afterEach(closeTransits)

afterAll(async () => {
  await Promise.all([leader, standby].map(async node => await node.stop()))
  await folder.remove()
})

const encrypt = async (pool: TransitPool): Promise<TransitCiphertext> =>
  await pool.encrypt(new Secret(Uint8Array.from(randomBytes(32))), { ...call, keyVersion: 1 })

async function outcomeOf(pool: TransitPool, ciphertext: TransitCiphertext): Promise<string> {
  try {
    using plaintext = await pool.decrypt(ciphertext, call)
    return plaintext.byteLength === 32 ? 'done' : 'wrong'
  } catch (error) {
    if (error instanceof TransitError) return error.code
    throw error
  }
}

const statesOf = (pool: TransitPool): readonly string[] => pool.health().map(({ state }) => state)

it('logs in and works by a standby, if that is the first to answer', async () => {
  const pool = poolOf([standby, leader], { auth })
  expect(await outcomeOf(pool, await encrypt(pool))).toBe('done')
  expect(statesOf(pool)).toEqual(['answering', 'untried'])
})

it('logs in by the second address if nobody is at the first', async () => {
  const nobody = `https://127.0.0.1:${await freePort()}`
  const pool = poolOf([leader], { auth, addresses: [nobody, leader.apiAddress] })
  expect(await outcomeOf(pool, await encrypt(pool))).toBe('done')
  expect(statesOf(pool)).toEqual(['failing', 'answering'])
})

it('goes on by the other node while the first is stopped', async () => {
  const pool = poolOf([standby, leader], { auth })
  const ciphertext = await encrypt(pool)
  await standby.stop()
  expect(await outcomeOf(pool, ciphertext)).toBe('done')
  expect(statesOf(pool)).toEqual(['failing', 'answering'])
  await standby.start({ until: 'standby' })
  await waitUntilApplied(leader, [standby], { timeoutMs: 30_000 })
})

it('goes on by the other node while the first is frozen, and finds it again', async () => {
  const pool = poolOf([standby, leader], { auth })
  const ciphertext = await encrypt(pool)
  standby.kill('SIGSTOP')
  try {
    const outcomes = await Promise.all(Array.from({ length: 10 }, async () => await outcomeOf(pool, ciphertext)))
    expect(new Set(outcomes)).toEqual(new Set(['done']))
    expect(statesOf(pool)).toEqual(['silent', 'answering'])
  } finally {
    standby.kill('SIGCONT')
  }
  await waitUntil(() => statesOf(pool)[0] !== 'silent', { what: 'the node to be found', timeoutMs: 20_000 })
})

it('goes on by the standby while the leader is frozen, with the token that it has', async () => {
  await standby.waitFor('standby')
  const pool = poolOf([leader, standby], { auth })
  const ciphertext = await encrypt(pool)
  await waitUntilApplied(leader, [standby], { timeoutMs: 30_000 })
  leader.kill('SIGSTOP')
  const seen: string[] = []
  try {
    // While the standby finds out that its leader is gone it may want to ask it.
    await waitUntil(
      async () => {
        const outcome = await outcomeOf(pool, ciphertext)
        seen.push(outcome)
        return outcome === 'done'
      },
      { what: 'a decryption by the standby', timeoutMs: 30_000, describe: () => seen.join() },
    )
    expect(statesOf(pool)).toEqual(['silent', 'answering'])
  } finally {
    leader.kill('SIGCONT')
  }
})

it('goes on by the other node while one is sealed', async () => {
  const pool = poolOf([leader, standby], { auth })
  await waitUntil(async () => (await outcomeOf(pool, await encrypt(pool).catch(() => NONE))) === 'done', {
    what: 'a leader',
    timeoutMs: 30_000,
  })
  const ciphertext = await encrypt(pool)
  await waitUntilApplied(leader, [standby], { timeoutMs: 30_000 })
  await bao.ask('PUT', 'sys/seal')
  const seen: string[] = []
  await waitUntil(
    async () => {
      const outcome = await outcomeOf(pool, ciphertext)
      seen.push(outcome)
      return outcome === 'done'
    },
    { what: 'a decryption by the standby', timeoutMs: 30_000, describe: () => seen.join() },
  )
  expect(pool.health()[0]).toMatchObject({ state: 'failing', code: 'TRANSIT_SEALED' })
})

const NONE: TransitCiphertext = { text: 'vault:v1:AAAA', keyVersion: 1 }
