import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type PluginNode, type TransitOpenBao } from '@sealwright/testing-kms'
import { atMost, type FigureReport, median } from '../figure.ts'
import { load } from './kit.ts'

const IDLE_MS = 3_000
const IDLE_LIMIT_MIB = 70
const LOADED_LIMIT_MIB = 130
const START_LIMIT_MS = 300
const LOAD_SECONDS = 5
const KIB_PER_MIB = 1_024

/** `kms.start`, `kms.rss`: a plugin from its start to its first good Status, and its memory when idle. */
export async function measureStart(plugin: PluginNode, rounds: number): Promise<readonly FigureReport[]> {
  const startsMs: number[] = []
  const residentMib: number[] = []
  for (let round = 0; round < rounds; round++) {
    const startedAtMs = performance.timeOrigin + performance.now()
    await plugin.start()
    startsMs.push((await servedAtMs(plugin)) - startedAtMs)
    await delay(IDLE_MS)
    // Prometheus looks at every node.
    await plugin.ask('/metrics')
    residentMib.push(await readResidentMib(plugin.process().pid))
    await plugin.stop()
  }
  return [
    atMost(
      {
        ...{ name: 'kms.start', value: median(startsMs), unit: 'ms' },
        meaning: 'bundled plugin from exec to a probe that passed and a socket that answers, against the limit',
      },
      START_LIMIT_MS,
    ),
    atMost(
      {
        ...{ name: 'kms.rssIdle', value: median(residentMib), unit: 'MiB' },
        meaning: 'resident memory of the idle plugin, after a scrape, against the limit',
      },
      IDLE_LIMIT_MIB,
    ),
  ]
}

/** `kms.rssLoaded`: its memory after all kinds of load. */
export async function measureLoadedMemory(plugin: PluginNode): Promise<readonly FigureReport[]> {
  for (const operation of ['status', 'encrypt', 'decrypt', 'bad-decrypt'] as const) {
    await load({ socketPath: plugin.socketPath, operation, callers: 64, seconds: LOAD_SECONDS })
  }
  const value = await readResidentMib(plugin.process().pid)
  return [
    atMost(
      {
        ...{ name: 'kms.rssLoaded', value, unit: 'MiB' },
        meaning: `resident memory after ${LOAD_SECONDS} s of each operation with 64 callers, against the limit`,
      },
      LOADED_LIMIT_MIB,
    ),
  ]
}

const ERROR_LIMIT_MS = 1_000
const BACK_LIMIT_MS = 100
const LOOK_INTERVAL_MS = 2

/** What one call through the plugin says. */
export type Attempt = () => Promise<'ok' | 'failed'>

/** `down.*`, `back`: how soon callers hear that OpenBao is down, and that it is back. `attempt` makes one Decrypt. */
export async function measureOutage(
  { bao, attempt }: { readonly bao: TransitOpenBao; readonly attempt: Attempt },
  rounds: number,
): Promise<readonly FigureReport[]> {
  const [killed, frozen, back]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < rounds; round++) {
    bao.node.kill()
    await bao.node.process().exited
    killed.push(await failureMs(attempt))
    await bao.node.start({ until: 'active' })
    await untilOk(attempt)
    bao.node.kill('SIGSTOP')
    frozen.push(await failureMs(attempt))
    bao.node.kill('SIGCONT')
    const startedAtMs = performance.now()
    await untilOk(attempt)
    back.push(performance.now() - startedAtMs)
  }
  const figure = (name: string, values: readonly number[], limit: number, meaning: string): FigureReport =>
    atMost({ name, value: median(values), unit: 'ms', meaning: `${meaning}, against the limit` }, limit)
  return [
    figure('down.killed', killed, ERROR_LIMIT_MS, 'a Decrypt while OpenBao is killed, until it fails'),
    figure('down.frozen', frozen, ERROR_LIMIT_MS, 'the first Decrypt after OpenBao was frozen, until it fails'),
    figure('back', back, BACK_LIMIT_MS, 'from the end of the freeze to the first good answer'),
  ]
}

async function failureMs(attempt: Attempt): Promise<number> {
  const startedAtMs = performance.now()
  if ((await attempt()) === 'ok') throw new Error('a call succeeded without OpenBao')
  return performance.now() - startedAtMs
}

async function untilOk(attempt: Attempt): Promise<void> {
  while ((await attempt()) !== 'ok') await delay(LOOK_INTERVAL_MS)
}

/** When the newest start said that it serves, in milliseconds since 1970. */
async function servedAtMs(plugin: PluginNode): Promise<number> {
  const lines = (await readFile(plugin.process().logPath, 'utf8')).trimEnd().split('\n')
  const said = lines.map(line => JSON.parse(line) as { readonly time: string; readonly msg: string })
  const served = said.findLast(({ msg }) => msg === 'serves')
  if (served === undefined) throw new Error('the plugin never served')
  return Date.parse(served.time)
}

async function readResidentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
  if (kib === undefined) throw new Error(`no VmRSS of ${pid}`)
  return Number(kib) / KIB_PER_MIB
}
