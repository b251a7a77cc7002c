import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { type ClusterNode, createSealedCluster, type SealedCluster } from '@sealwright/testing-cluster'
import { Secret } from '@sealwright/secret'
import { type NodeChanges } from '@sealwright/testing-rig'
import { bao } from './bao-command.ts'
import { waitUntilApplied } from './formed-cluster.ts'
import {
  asStaticSeal,
  enoughOf,
  fill,
  type FilledOpenBao,
  hasSecret,
  killServer,
  migrate,
  MIGRATION_PENDING,
  sealStatusOf,
  type StaticSeal,
  waitUntilPending,
} from './migration.ts'
import { testScope } from './test-scope.ts'

const FORM_TIMEOUT_MS = 120_000
const NODE_NAMES = ['a', 'b', 'c']

const scope = testScope()
let cluster: SealedCluster
let filled: FilledOpenBao
let rootToken: Secret

/** The leader comes last, as in any rolling restart. */
async function leaderLast(): Promise<readonly ClusterNode[]> {
  const leader = await leaderOf()
  return [...cluster.nodes.filter(each => each !== leader), leader]
}

async function leaderOf(): Promise<ClusterNode> {
  const states = await Promise.all(cluster.nodes.map(({ node }) => node.openBao().state()))
  const leader = cluster.nodes[states.indexOf('active')]
  if (leader === undefined) throw new Error(`no leader: ${states.join(', ')}`)
  return leader
}

/** Forms a cluster of three whose OpenBao servers have this seal, with a secret in it. */
async function formUnder(seal: StaticSeal | { readonly kind: 'shamir' } | 'sealwright'): Promise<void> {
  const kind = seal === 'sealwright' ? seal : seal.kind
  for (const { node, openBaoOptions } of cluster.nodes) {
    const theirs = seal === 'sealwright' ? {} : { seal }
    await node.startOpenBao({ ...openBaoOptions, ...theirs, until: 'listening' })
  }
  const [first, ...others] = cluster.nodes
  if (first === undefined) throw new Error('no node')
  await first.node.openBao().waitFor('uninitialised')
  filled = await fill(first.node.openBao(), kind)
  rootToken = new Secret(Buffer.from(filled.rootToken))
  for (const { node } of others) {
    if (kind === 'shamir') {
      await node.openBao().waitFor('sealed')
      for (const key of enoughOf(filled)) await bao(node.openBao(), ['operator', 'unseal', key])
    }
    await node.openBao().waitFor('unsealed')
  }
  await cluster.waitUntilFormed(rootToken, FORM_TIMEOUT_MS)
}

async function waitUntilRaftIsHealthy({ node }: ClusterNode): Promise<void> {
  const ask = { path: 'sys/storage/raft/autopilot/state', token: filled.rootToken }
  const isHealthy = async () => {
    const { body } = await node.openBao().request(ask)
    const { healthy, failure_tolerance: tolerance } = (body as { readonly data: Readonly<Record<string, unknown>> })
      .data
    return healthy === true && tolerance === 1
  }
  await node.openBao().waitFor(isHealthy, { what: 'all servers to be healthy', timeoutMs: FORM_TIMEOUT_MS })
}

/** What an operator does on each node before it is started with its new configuration. */
async function enrol({ node }: ClusterNode): Promise<void> {
  expect(await node.bootstrap(cluster.sealKeyPath)).toMatchObject({ exitCode: 0, stderr: '' })
  await node.startAgent()
  await node.waitForLog('keyring opened')
}

async function expectFormedWithData(): Promise<void> {
  await cluster.waitUntilFormed(rootToken, FORM_TIMEOUT_MS)
  for (const { node } of cluster.nodes) expect(await hasSecret(node.openBao(), filled)).toBe(true)
}

async function expectOpensAfterPowerCut(): Promise<void> {
  await Promise.all(
    cluster.nodes.map(async ({ node }) => {
      await killServer(node.openBao())
      node.agent().kill('SIGKILL')
      await node.agent().exited
    }),
  )
  await Promise.all(cluster.nodes.map(({ node }) => node.startAgent()))
  await Promise.all(cluster.nodes.map(({ node }) => node.openBao().start({ until: 'unsealed' })))
  await expectFormedWithData()
}

describe('a cluster under a static seal', () => {
  it('is taken over node by node, is whole all the way, and a node of either kind opens beside the other', async () => {
    cluster = scope.use(
      await createSealedCluster({
        ...{ directory: scope.folder.path, nodeNames: NODE_NAMES },
        config: { agent: { sealType: 'static' } },
      }),
    )
    const seal = await asStaticSeal(scope.folder.path, cluster.sealKeyPath)
    await formUnder(seal)

    for (const [turn, each] of (await leaderLast()).entries()) {
      const server = each.node.openBao()
      await enrol(each)
      await server.stop()
      await server.start({ seal: each.node.openBaoSeal(), until: 'unsealed' })
      await expectFormedWithData()
      if (turn !== 1) continue
      // Two nodes of ours lead one that is not: it restarts as ever, since nothing was encrypted anew.
      const last = await leaderOf()
      await bao(last.node.openBao(), ['operator', 'step-down'], filled.rootToken)
      await last.node.openBao().waitFor('standby')
      await last.node.openBao().restart({ until: 'unsealed' })
      await expectFormedWithData()
    }
    for (const { node } of cluster.nodes) {
      expect(await sealStatusOf(node.openBao())).toMatchObject({ type: 'static', migration: false })
      expect(readFileSync(node.openBao().logPath, 'utf8')).not.toContain(MIGRATION_PENDING)
    }

    const leader = await leaderOf()
    await bao(leader.node.openBao(), ['write', '-f', 'sys/rotate/root'], filled.rootToken)
    await waitUntilApplied(
      leader.node,
      cluster.nodes.map(({ node }) => node),
    )
    await expectOpensAfterPowerCut()
  })

  it('led by its own seal lets a new node of ours join: the challenge is in the form of the static seal', async () => {
    const directory = scope.folder.join('c')
    await mkdir(directory, { mode: 0o700 })
    cluster = scope.use(
      await createSealedCluster({ directory, nodeNames: ['a', 'b'], config: { agent: { sealType: 'static' } } }),
    )
    const seal = await asStaticSeal(scope.folder.path, cluster.sealKeyPath)
    const [first, second] = cluster.nodes
    if (first === undefined || second === undefined) throw new Error('two nodes')
    await first.node.startOpenBao({ ...first.openBaoOptions, seal, until: 'uninitialised' })
    filled = await fill(first.node.openBao(), 'static')
    await enrol(second)
    await second.node.startOpenBao({ ...second.openBaoOptions, until: 'standby' })
    expect(await hasSecret(second.node.openBao(), filled)).toBe(true)
  })
})

describe('a cluster', () => {
  beforeEach(async () => {
    cluster = scope.use(await createSealedCluster({ directory: scope.folder.path, nodeNames: NODE_NAMES }))
  })

  it('under Shamir goes over to Sealwright node by node, the leader last, and opens by itself', async () => {
    await formUnder({ kind: 'shamir' })
    const nodes = await leaderLast()
    for (const each of nodes.slice(0, -1)) {
      await enrol(each)
      await moveStandby(each, { seal: each.node.openBaoSeal() }, { from: 'shamir', to: 'sealwright' })
    }
    for (const each of nodes.slice(-1)) {
      await enrol(each)
      await moveLeader(each, { seal: each.node.openBaoSeal() })
    }
    await expectMoved('sealwright')
    await expectOpensAfterPowerCut()
  })

  it('under Sealwright goes over to a static seal node by node, the leader last, and opens without agents', async () => {
    const seal = await asStaticSeal(scope.folder.path, cluster.sealKeyPath)
    for (const each of cluster.nodes) await enrol(each)
    await formUnder('sealwright')
    const nodes = await leaderLast()
    for (const each of nodes.slice(0, -1)) {
      const changes = { seal, leaving: each.node.openBaoSeal() }
      await moveStandby(each, changes, { from: 'sealwright', to: 'static' })
    }
    for (const each of nodes.slice(-1)) await moveLeader(each, { seal })
    await expectMoved('static')

    await Promise.all(cluster.nodes.map(({ node }) => node.agent().stop()))
    await Promise.all(cluster.nodes.map(({ node }) => killServer(node.openBao())))
    const alone = { leaving: undefined, until: 'unsealed' } as const
    await Promise.all(cluster.nodes.map(({ node }) => node.openBao().start(alone)))
    await expectFormedWithData()
  })
})

/** Moves a node that does not lead: with the keys it serves, and its health is an error until a leader has moved the data. */
async function moveStandby(
  each: ClusterNode,
  changes: NodeChanges,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<void> {
  const server = each.node.openBao()
  await server.stop()
  await server.start({ ...changes, until: 'listening' })
  await waitUntilPending(server)
  await migrate(server, enoughOf(filled))
  await server.waitFor(() => hasSecret(server, filled), { what: 'OpenBao to serve its data' })
  await server.waitFor('failing')
  const waiting = `barrier seal type of \\"${from}\\" does not match loaded type of \\"${to}\\"`
  expect(readFileSync(server.logPath, 'utf8')).toContain(waiting)
  await waitUntilRaftIsHealthy(await leaderOf())
}

/** Stops the leader, so that another node leads and moves the data. Then the last one needs no keys for it. */
async function moveLeader(leader: ClusterNode, changes: NodeChanges): Promise<void> {
  const server = leader.node.openBao()
  await server.stop()
  for (const { node } of cluster.nodes) if (node !== leader.node) await node.openBao().waitFor('unsealed')
  await server.start({ ...changes, until: 'unsealed' })
  await expectFormedWithData()
}

async function expectMoved(type: string): Promise<void> {
  for (const { node } of cluster.nodes) {
    expect(await sealStatusOf(node.openBao())).toMatchObject({ type, migration: false })
  }
}
