import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createSealedNode, type SealedNode } from '@sealwright/testing-cluster'
import { freePort, type OpenBaoNode, startOpenBao, temporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { type FigureReport, median, rounded } from './figure.ts'

const NODE_RATIO_TARGET = 1.4
const HEALTH_ACTIVE = 200
const POLL_INTERVAL_MS = 2
const ACTIVE_TIMEOUT_MS = 30_000
const INIT_BODY = { recovery_shares: 1, recovery_threshold: 1 }

/** `restart.node`: one OpenBao from its start to active, our seal against `seal "static"`, in turns. */
export async function benchNodeRestart(rounds: number): Promise<readonly FigureReport[]> {
  await using folder = await temporaryFolder()
  const keyPath = folder.join('key')
  await writeFile(keyPath, randomBytes(32), { mode: 0o600 })
  await using fixed = await startOpenBao({
    directory: folder.join('static'),
    nodeId: 'static',
    apiPort: await freePort(),
    clusterPort: await freePort(),
    seal: { kind: 'static', keyFile: keyPath },
  })
  await using sealed = await sealedSingleNode(folder.join('ours'))
  for (const server of [fixed, sealed.openBao()]) {
    await server.request({ method: 'POST', path: 'sys/init', body: INIT_BODY })
    await server.waitFor('active')
  }
  const oursMs: number[] = []
  const staticMs: number[] = []
  for (let round = -1; round < rounds; round++) {
    const [staticTook, oursTook] = [await restartToActive(fixed), await restartToActive(sealed.openBao())]
    if (round < 0) continue
    staticMs.push(staticTook)
    oursMs.push(oursTook)
  }
  const value = rounded(median(oursMs))
  const reference = rounded(median(staticMs))
  const ratio = rounded(median(oursMs.map((ms, index) => ms / (staticMs[index] ?? Number.NaN))))
  return [
    {
      name: 'restart.node',
      figure: { value, unit: 'ms', reference, ratio },
      meaning: `one node from start to active against seal "static", median of ${rounds} pairs in turns`,
      target: `≤ ${NODE_RATIO_TARGET}`,
      met: ratio <= NODE_RATIO_TARGET,
    },
  ]
}

async function sealedSingleNode(directory: string): Promise<SealedNode> {
  const { mkdir } = await import('node:fs/promises')
  await mkdir(directory, { mode: 0o700 })
  const ports = { apiPort: await freePort(), clusterPort: await freePort() }
  const config = { openbao: { address: `http://127.0.0.1:${ports.apiPort}` } }
  const node = await createSealedNode({ name: 'ours', directory, config })
  const keyPath = `${directory}/seal-key`
  await writeFile(keyPath, randomBytes(32).toString('base64'), { mode: 0o600 })
  const { exitCode, stderr } = await node.bootstrap(keyPath)
  if (exitCode !== 0) throw new Error(`bootstrap-init ended with ${exitCode}: ${stderr}`)
  await node.startAgent()
  await node.waitForLog('agent serves')
  await node.startOpenBao(ports)
  return node
}

/** Kills a server and measures from its next start until its health says active. */
export async function restartToActive(server: OpenBaoNode): Promise<number> {
  server.kill()
  await server.process().exited
  const startedAtMs = performance.now()
  await server.start({ until: 'nothing' })
  await waitUntil(async () => (await healthStatus(server.apiAddress)) === HEALTH_ACTIVE, {
    what: `${server.nodeId} to be active`,
    timeoutMs: ACTIVE_TIMEOUT_MS,
    intervalMs: POLL_INTERVAL_MS,
  })
  return performance.now() - startedAtMs
}

/** Status of `sys/health`, or 0 while nothing listens. Only for plain HTTP: TLS would cost more than what is measured. */
async function healthStatus(apiAddress: string): Promise<number> {
  return await new Promise(resolve => {
    const call = request(`${apiAddress}/v1/sys/health`, response => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    call.on('error', () => {
      resolve(0)
    })
    call.end()
  })
}
