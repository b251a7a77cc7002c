import { type ClusterNode, createSealedCluster } from '@sealwright/testing-cluster'
import {
  certificateAuthority,
  freePort,
  type OpenBaoNode,
  startOpenBao,
  temporaryFolder,
} from '@sealwright/testing-rig'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { type FigureReport, median, rounded } from './figure.ts'

const CLUSTER_RATIO_TARGET = 1.1
const NODE_NAMES = ['one', 'two', 'three']
const INIT_BODY = { recovery_shares: 1, recovery_threshold: 1 }
const OPEN_TIMEOUT_MS = 60_000

/**
 * `restart.cluster`: three nodes from no server running to each unsealed and one active; `restart.powerOn` counts in TPMs and agents.
 */
export async function benchClusterRestart(rounds: number): Promise<readonly FigureReport[]> {
  await using folder = await temporaryFolder()
  await using ours = await createSealedCluster({ directory: folder.path, nodeNames: NODE_NAMES })
  for (const { node } of ours.nodes) {
    const { exitCode, stderr } = await node.bootstrap(ours.sealKeyPath)
    if (exitCode !== 0) throw new Error(`bootstrap-init ended with ${exitCode}: ${stderr}`)
    await node.startAgent()
  }
  const ourServers = await Promise.all(ours.nodes.map(({ node, openBaoOptions }) => node.startOpenBao(openBaoOptions)))
  const staticServers = await startStaticCluster(folder.join('static'))
  try {
    for (const servers of [ourServers, staticServers]) {
      await servers[0]?.request({ method: 'POST', path: 'sys/init', body: INIT_BODY, timeoutMs: OPEN_TIMEOUT_MS })
      await allUnsealed(servers)
    }
    const staticMs: number[] = []
    const serversMs: number[] = []
    const powerOnMs: number[] = []
    for (let round = 0; round < rounds; round++) {
      staticMs.push(await coldStart(staticServers, () => startAll(staticServers)))
      serversMs.push(await coldStart(ourServers, () => startAll(ourServers)))
      for (const { node } of ours.nodes) {
        node.agent().kill('SIGKILL')
        await node.tpm.kill()
      }
      const powerOn = async ({ node }: ClusterNode): Promise<void> => {
        await node.tpm.start()
        await node.startAgent()
        await node.openBao().start({ until: 'nothing' })
      }
      powerOnMs.push(
        await coldStart(ourServers, async () => {
          await Promise.all(ours.nodes.map(powerOn))
        }),
      )
    }
    const runs = `against seal "static"; medians of ${rounds} runs in turns`
    return [
      report(
        'restart.cluster',
        serversMs,
        staticMs,
        `three OpenBao servers from start to all unsealed and one active, ${runs}`,
      ),
      report(
        'restart.powerOn',
        powerOnMs,
        staticMs,
        `the same with the start of three TPMs and three agents counted in, ${runs}`,
      ),
    ]
  } finally {
    await Promise.all(staticServers.map(server => server.stop()))
  }
}

function report(name: string, oursMs: readonly number[], staticMs: readonly number[], meaning: string): FigureReport {
  const ratio = rounded(median(oursMs) / median(staticMs))
  const figure = { value: rounded(median(oursMs)), unit: 'ms', reference: rounded(median(staticMs)), ratio } as const
  return { name, figure, meaning, target: `≤ ${CLUSTER_RATIO_TARGET}`, met: ratio <= CLUSTER_RATIO_TARGET }
}

async function startAll(servers: readonly OpenBaoNode[]): Promise<void> {
  await Promise.all(servers.map(server => server.start({ until: 'nothing' })))
}

async function startStaticCluster(directory: string): Promise<readonly OpenBaoNode[]> {
  const authority = await certificateAuthority({ directory })
  const keyFile = `${directory}/key`
  await writeFile(keyFile, randomBytes(32), { mode: 0o600 })
  const ports = await Promise.all(NODE_NAMES.map(async () => ({ api: await freePort(), cluster: await freePort() })))
  const retryJoin = ports.map(({ api }) => `https://127.0.0.1:${api}`)
  return await Promise.all(
    ports.map(async ({ api, cluster }, index) => {
      const nodeId = `static-${index}`
      const issued = await authority.issue({ name: nodeId, usage: 'server' })
      return await startOpenBao({
        directory: `${directory}/${nodeId}`,
        nodeId,
        apiPort: api,
        clusterPort: cluster,
        tls: { ...issued, caPath: authority.certificatePath },
        seal: { kind: 'static', keyFile },
        retryJoin,
      })
    }),
  )
}

async function coldStart(servers: readonly OpenBaoNode[], start: () => Promise<void>): Promise<number> {
  for (const server of servers) server.kill()
  await Promise.all(servers.map(server => server.process().exited))
  const startedAtMs = performance.now()
  await start()
  await allUnsealed(servers)
  return performance.now() - startedAtMs
}

/** Each node unsealed, and one of them active. */
async function allUnsealed(servers: readonly OpenBaoNode[]): Promise<void> {
  await Promise.all(servers.map(server => server.waitFor('unsealed', { timeoutMs: OPEN_TIMEOUT_MS })))
  const [first] = servers
  await first?.waitFor(async () => (await Promise.all(servers.map(server => server.state()))).includes('active'), {
    timeoutMs: OPEN_TIMEOUT_MS,
    what: 'an active node',
  })
}
