import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { createSealedNode } from '@sealwright/testing-cluster'
import { freePort, temporaryFolder } from '@sealwright/testing-rig'
import { atMost, type FigureReport, median } from './figure.ts'

const RSS_LIMIT_MIB = 80
const START_LIMIT_MS = 300
/** How long the agent is left alone before its memory is looked at. */
const IDLE_MS = 3_000
const KIB_PER_MIB = 1_024

/** `agent.start` and `agent.rss`: one bundled agent from its start to a keyring opened by the TPM, and its memory when idle. */
export async function benchAgent(rounds: number): Promise<readonly FigureReport[]> {
  await using folder = await temporaryFolder()
  // An address, so that the agent has its HTTP client in memory as it does in service; nobody listens there.
  const config = { openbao: { address: `http://127.0.0.1:${await freePort()}` } }
  await using node = await createSealedNode({ name: 'solo', directory: folder.path, config })
  const keyPath = folder.join('seal-key')
  await writeFile(keyPath, randomBytes(32).toString('base64'), { mode: 0o600 })
  const { exitCode, stderr } = await node.bootstrap(keyPath)
  if (exitCode !== 0) throw new Error(`bootstrap-init ended with ${exitCode}: ${stderr}`)
  const startsMs: number[] = []
  const residentMib: number[] = []
  for (let round = 0; round < rounds; round++) {
    const startedAtMs = performance.timeOrigin + performance.now()
    const agent = await node.startAgent()
    const lines = await Promise.all([node.waitForLog('keyring opened'), node.waitForLog('agent serves')])
    startsMs.push(Math.max(...lines.map(({ time }) => Date.parse(String(time)) - startedAtMs)))
    await delay(IDLE_MS)
    residentMib.push(await readResidentMib(agent.pid))
    await agent.stop()
  }
  return [
    atMost(
      {
        ...{ name: 'agent.start', value: median(startsMs), unit: 'ms' },
        meaning: 'bundled agent from exec to opened and serving, against the limit',
      },
      START_LIMIT_MS,
    ),
    atMost(
      {
        ...{ name: 'agent.rss', value: median(residentMib), unit: 'MiB' },
        meaning: 'resident memory of the idle agent, against the limit',
      },
      RSS_LIMIT_MIB,
    ),
  ]
}

async function readResidentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
  if (kib === undefined) throw new Error(`no VmRSS of ${pid}`)
  return Number(kib) / KIB_PER_MIB
}
