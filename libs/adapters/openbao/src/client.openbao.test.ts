import { randomBytes } from 'node:crypto'
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
  clusterFormed,
  type ClusterVerdict,
  type OpenBaoClient,
  openBaoClient,
  type OpenBaoClientOptions,
  OpenBaoError,
} from './index.ts'

/**
 * One real cluster of three, from its first start to the loss of its quorum. The tests are one story: each leaves the
 * cluster as the next one needs it.
 */
let folder: TemporaryFolder
let authority: CertificateAuthority
let nodes: readonly Node[] = []
let rootToken: Secret
const clients: OpenBaoClient[] = []

interface Node {
  readonly bao: OpenBaoNode
  readonly client: OpenBaoClient
}

const call = { signal: new AbortController().signal }
const root = () => ({ ...call, token: rootToken })
const secret = (text: string): Secret => new Secret(new TextEncoder().encode(text))
const textOf = (value: Secret | undefined): string | undefined => value?.reveal(bytes => Buffer.from(bytes).toString())

function clientTo(bao: OpenBaoNode, options: Partial<OpenBaoClientOptions> = {}): OpenBaoClient {
  const trust = { kind: 'ca-file', path: authority.certificatePath } as const
  const client = openBaoClient({ address: bao.apiAddress, trust, ...options })
  clients.push(client)
  return client
}

function node(index: number): Node {
  const found = nodes[index]
  if (found === undefined) throw new Error(`there is no node ${index}`)
  return found
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await failureOf(promise)).code
}

async function failureOf(promise: Promise<unknown>): Promise<OpenBaoError> {
  const outcome = await promise.then(
    value => value,
    (error: unknown) => error,
  )
  if (outcome instanceof OpenBaoError) return outcome
  throw new Error(`no OpenBaoError: ${inspect(outcome)}`)
}

beforeAll(async () => {
  folder = await temporaryFolder()
  authority = await certificateAuthority({ directory: folder.join('tls') })
  const keyFile = folder.join('seal.key')
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const places = await Promise.all(
    ['n1', 'n2', 'n3'].map(async nodeId => ({ nodeId, apiPort: await freePort(), clusterPort: await freePort() })),
  )
  const retryJoin = places.map(({ apiPort }) => `https://127.0.0.1:${apiPort}`)
  nodes = await Promise.all(
    places.map(async place => {
      const issued = await authority.issue({ name: place.nodeId, usage: 'server' })
      const tls = { ...issued, caPath: authority.certificatePath }
      const directory = folder.join(place.nodeId)
      const bao = await startOpenBao({ ...place, directory, tls, seal: { kind: 'static', keyFile }, retryJoin })
      return { bao, client: clientTo(bao) }
    }),
  )
})

afterAll(async () => {
  await Promise.all(
    clients.map(async client => {
      await client.close()
    }),
  )
  await Promise.all(nodes.map(async ({ bao }) => await bao.stop()))
  await folder.remove()
})

it('reads a node that is not initialised', async () => {
  const { client } = node(0)
  expect(await client.health(call)).toEqual({ kind: 'uninitialised', version: '2.7.2' })
  expect(await client.initStatus(call)).toBe(false)
  expect(await client.sealStatus(call)).toMatchObject({ type: 'static', initialised: false, sealed: true })
  expect(await codeOf(client.leader(call))).toBe('OPENBAO_SEALED')
})

it('does not talk to a node whose certificate it cannot check', async () => {
  const { bao } = node(0)
  const other = await certificateAuthority({ directory: folder.join('other'), name: 'other-ca' })
  const path = other.certificatePath
  const failure = await failureOf(clientTo(bao, { trust: { kind: 'ca-file', path } }).health(call))
  expect(failure.code).toBe('OPENBAO_TLS')
  expect(failure.message).toContain(`checked with CA file ${path}`)

  expect(await codeOf(clientTo(bao, { trust: { kind: 'system' } }).health(call))).toBe('OPENBAO_TLS')
  expect(await codeOf(clientTo(bao, { serverName: 'another.name' }).health(call))).toBe('OPENBAO_TLS')
  expect(await clientTo(bao, { serverName: 'localhost' }).initStatus(call)).toBe(false)
  const pem = await readFile(authority.certificatePath, 'utf8')
  expect(await clientTo(bao, { trust: { kind: 'ca-pem', pem } }).initStatus(call)).toBe(false)
})

it('tells plain HTTP on a TLS port', async () => {
  const { bao } = node(0)
  const plain = openBaoClient({ address: bao.apiAddress.replace('https:', 'http:') })
  clients.push(plain)
  expect(await codeOf(plain.initStatus(call))).toBe('OPENBAO_BAD_REQUEST')
})

it('initialises, and sees the cluster form', async () => {
  const { client } = node(0)
  const init = await client.init({ recoveryShares: 3, recoveryThreshold: 2 }, call)
  rootToken = init.rootToken
  expect(init.recoveryKeys).toHaveLength(3)
  // 33 bytes: the share of a 32-byte key and its number.
  for (const key of init.recoveryKeys) expect(Buffer.from(textOf(key) ?? '', 'base64')).toHaveLength(33)
  expect(await codeOf(client.init({ recoveryShares: 1, recoveryThreshold: 1 }, call))).toBe('OPENBAO_BAD_REQUEST')

  const verdicts: ClusterVerdict[] = []
  const formed = await waitUntil(
    async () => {
      const verdict = await observe()
      verdicts.push(verdict)
      return verdict.kind === 'formed' ? verdict : undefined
    },
    { what: 'the cluster to form', timeoutMs: 50_000, intervalMs: 200, describe: () => inspect(verdicts.at(-1)) },
  )
  expect(verdicts[0]?.kind).toBe('not-formed')
  const health = await Promise.all(nodes.map(async ({ client: each }) => await each.health(call)))
  expect(health.map(({ kind }) => kind)).toEqual(['active', 'standby', 'standby'])
  expect(health[0]).toEqual({ kind: 'active', version: '2.7.2', clusterId: formed.clusterId })
})

/** The whole look, by the leader; what cannot be asked yet counts as not formed. */
async function observe(): Promise<ClusterVerdict> {
  const { client } = node(0)
  try {
    const statuses = await Promise.all(
      nodes.map(async each => [each.bao.nodeId, await each.client.sealStatus(call)] as const),
    )
    return clusterFormed({
      expectedVoters: nodes.map(({ bao }) => bao.nodeId),
      autopilot: await client.autopilotState(root()),
      raft: await client.raftConfiguration(root()),
      sealStatuses: new Map(statuses),
    })
  } catch (error) {
    if (!(error instanceof OpenBaoError)) throw error
    return { kind: 'not-formed', reasons: [] }
  }
}

it('reads the cluster from leader and standby alike', async () => {
  for (const { client, bao } of nodes) {
    const leader = await client.leader(call)
    expect(leader).toMatchObject({ isSelf: bao === node(0).bao, leaderAddress: node(0).bao.apiAddress })
    const { servers } = await client.raftConfiguration(root())
    expect(servers.map(({ nodeId, voter, leader: leads }) => [nodeId, voter, leads]).sort()).toEqual([
      ['n1', true, true],
      ['n2', true, false],
      ['n3', true, false],
    ])
    const state = await client.autopilotState(root())
    expect(state).toMatchObject({ healthy: true, failureTolerance: 1, leader: 'n1' })
    expect(state.servers.map(({ nodeId }) => nodeId).sort()).toEqual(['n1', 'n2', 'n3'])
    const ha = await client.haStatus(root())
    expect(ha.filter(({ active }) => active).map(({ apiAddress }) => apiAddress)).toEqual([node(0).bao.apiAddress])
  }
})

/** A new engine answers 400 for a moment while it sets itself up, and a standby learns of a secret a little later. */
async function onceReady<T>(ask: () => Promise<T | null>): Promise<T> {
  const look = async (): Promise<T | null> => {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof OpenBaoError && error.code === 'OPENBAO_BAD_REQUEST') return null
      throw error
    }
  }
  return await waitUntil(look, { what: 'the kv engine', timeoutMs: 10_000 })
}

it('writes a secret on one node and reads it on another', async () => {
  const [leader, standby] = [node(0).client, node(1).client]
  await leader.enableKv('kv', root())
  const path = { mount: 'kv', path: 'folder/a secret' }
  const value = 'zwölf "quoted"\n\\ \u0001 \u{1f511}'
  const version = await onceReady(
    async () => await leader.kvPut(path, { 'the "key"': secret(value), empty: secret('') }, root()),
  )
  expect(version).toBe(1)
  expect(await leader.kvGet({ mount: 'kv', path: 'nothing' }, root())).toBeNull()
  const read = await onceReady(async () => await standby.kvGet(path, root()))
  expect(read.version).toBe(1)
  expect(textOf(read.data.get('the "key"'))).toBe(value)
  expect(textOf(read.data.get('empty'))).toBe('')
  expect(inspect(read, { depth: 10 })).not.toContain('zw')
  expect(await codeOf(leader.kvGet({ mount: 'nothing', path: 'x' }, root()))).toBe('OPENBAO_NOT_FOUND')
  expect(await codeOf(leader.enableKv('kv', root()))).toBe('OPENBAO_BAD_REQUEST')
})

it('tells a token that is not good enough, without showing it', async () => {
  const wrong = { ...call, token: secret('s.this-is-no-token') }
  for (const { client } of nodes) {
    const failure = await failureOf(client.autopilotState(wrong))
    expect(failure).toMatchObject({ code: 'OPENBAO_PERMISSION_DENIED', status: 403 })
    expect(inspect(failure, { depth: 10 })).not.toContain('this-is-no-token')
  }
})

it('reads a node that was sealed by hand, while the others go on', async () => {
  const { bao, client } = node(2)
  const response = await bao.request({ method: 'PUT', path: 'sys/seal', token: textOf(rootToken) ?? '' })
  expect(response.status).toBe(204)
  expect(await client.health(call)).toEqual({ kind: 'sealed', version: '2.7.2' })
  expect(await client.sealStatus(call)).toMatchObject({ sealed: true, initialised: true, threshold: 2, shares: 3 })
  expect(await codeOf(client.raftConfiguration(root()))).toBe('OPENBAO_SEALED')
  const verdict = await observe()
  expect(verdict).toMatchObject({ kind: 'not-formed' })
  expect(verdict.kind === 'formed' ? [] : verdict.reasons).toContainEqual({ kind: 'NODE_SEALED', nodeId: 'n3' })
})

it('tells a lost quorum by the redirect to the dead leader, which health does not', async () => {
  const { client } = node(1)
  node(0).bao.kill()
  node(2).bao.kill()
  await Promise.all([node(0).bao.process().exited, node(2).bao.process().exited])
  // Connections that were kept open from before tell their end first, once each: OPENBAO_CONNECTION_CUT.
  await waitUntil(async () => (await codeOf(node(0).client.health(call))) === 'OPENBAO_UNREACHABLE', {
    what: 'nobody to be there',
    timeoutMs: 5_000,
  })

  const failure = await waitUntil(
    async () => {
      const seen = await failureOf(client.autopilotState({ ...root(), timeoutMs: 5_000 }))
      return seen.code === 'OPENBAO_REDIRECTED' ? seen : undefined
    },
    { what: 'the redirect', timeoutMs: 30_000, intervalMs: 100 },
  )
  expect(failure).toMatchObject({ status: 307, redirectOrigin: node(0).bao.apiAddress })
  await waitUntil(async () => (await codeOf(client.haStatus(root()))) === 'OPENBAO_REDIRECTED', {
    what: 'the redirect of another path',
    timeoutMs: 30_000,
  })
  expect(await client.health(call)).toMatchObject({ kind: 'standby' })
  expect((await client.leader(call)).leaderAddress).toBe(node(0).bao.apiAddress)
})

it('works again with the same clients once the nodes are back, and revokes its token', async () => {
  await Promise.all([node(0).bao.start({ until: 'unsealed' }), node(2).bao.start({ until: 'unsealed' })])
  const { client } = node(1)
  const read = await waitUntil(
    async () => {
      try {
        const found = await client.autopilotState(root())
        return found.leader === undefined ? undefined : found
      } catch (error) {
        if (error instanceof OpenBaoError) return undefined
        throw error
      }
    },
    { what: 'a leader', timeoutMs: 30_000, intervalMs: 100 },
  )
  expect(read.voters).toHaveLength(3)
  await client.tokenRevokeSelf(root())
  expect(await codeOf(client.autopilotState(root()))).toBe('OPENBAO_PERMISSION_DENIED')
})
