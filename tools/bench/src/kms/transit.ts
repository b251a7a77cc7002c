import { type PluginNode, type TransitOpenBao } from '@sealwright/testing-kms'
import { atLeast, atMost, type FigureReport, median } from '../figure.ts'
import { type DirectCalls } from './direct.ts'
import { coldStart, load } from './kit.ts'

const BATCHED_TARGET = 2.5
const SINGLE_TARGET = 0.7
const MANY_CALLERS = 64
const SECONDS = 3

/** Our calls per second beside those that are made one by one, in turns. */
async function ratio(
  { plugin, direct }: TransitParts,
  operation: 'encrypt' | 'decrypt',
  callers: number,
  rounds: number,
): Promise<{ readonly ours: number; readonly theirs: number }> {
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    theirs.push(await direct.rate(operation, callers, SECONDS))
    ours.push((await load({ socketPath: plugin.socketPath, operation, callers, seconds: SECONDS })).perSecond)
  }
  return { ours: median(ours), theirs: median(theirs) }
}

export interface TransitParts {
  readonly bao: TransitOpenBao
  readonly plugin: PluginNode
  readonly direct: DirectCalls
}

/** `transit.*`: calls through the plugin against single calls to OpenBao's HTTP API with the same token. */
export async function measureTransit(parts: TransitParts, rounds: number): Promise<readonly FigureReport[]> {
  const figures: FigureReport[] = []
  for (const [name, operation, callers, target] of [
    ['transit.encrypt64', 'encrypt', MANY_CALLERS, BATCHED_TARGET],
    ['transit.decrypt64', 'decrypt', MANY_CALLERS, BATCHED_TARGET],
    ['transit.encrypt1', 'encrypt', 1, SINGLE_TARGET],
  ] as const) {
    const { ours, theirs } = await ratio(parts, operation, callers, rounds)
    figures.push(
      atLeast(
        {
          ...{ name, value: ours, unit: 'calls/s' },
          meaning: `${operation} with ${callers} caller${callers === 1 ? '' : 's'}, the client in Go on the same cores, against ${target} × what single HTTP calls get`,
        },
        theirs * target,
      ),
    )
  }
  return figures
}

const COLD_SEEDS = 1_000
const COLD_CALLERS = 16
const COLD_LIMIT_MS = 300
const COLD_TARGET = 0.8
const SEEDS_OF_A_YEAR = 21
const MANY_OBJECTS = 10_000

/** `coldStart*`: kube-apiserver's own envelope code reads everything with nothing cached. */
export async function measureColdStart(
  { plugin, direct }: TransitParts,
  rounds: number,
): Promise<readonly FigureReport[]> {
  const { socketPath } = plugin
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    theirs.push(await direct.decryptMs(COLD_SEEDS, COLD_CALLERS))
    ours.push(
      await coldStart({ socketPath, seeds: COLD_SEEDS, objects: COLD_SEEDS, callers: COLD_CALLERS, repeats: 3 }),
    )
  }
  const value = median(ours)
  const meaning = `${COLD_SEEDS} Secrets with a seed each, read by kube-apiserver's own code at ${COLD_CALLERS} callers with nothing cached`
  const few = await coldStart({
    ...{ socketPath, seeds: SEEDS_OF_A_YEAR, objects: MANY_OBJECTS, callers: COLD_CALLERS, repeats: rounds },
  })
  return [
    atMost(
      { ...{ name: 'coldStart1000', value, unit: 'ms' }, meaning: `${meaning}, against the limit` },
      COLD_LIMIT_MS,
    ),
    atMost(
      {
        ...{ name: 'coldStart1000.direct', value, unit: 'ms' },
        meaning: `the same, against ${COLD_TARGET} × as many direct decryptions`,
      },
      median(theirs) * COLD_TARGET,
    ),
    atMost(
      {
        ...{ name: 'coldStart10000', value: few, unit: 'ms' },
        meaning: `${MANY_OBJECTS} Secrets with ${SEEDS_OF_A_YEAR} seeds, against the same limit`,
      },
      COLD_LIMIT_MS,
    ),
  ]
}

/** Of an OpenBao's configuration: without it nothing is counted. */
export const TELEMETRY = 'telemetry {\n  prometheus_retention_time = "24h"\n  disable_hostname = true\n}\n'

const STATUS_CALLERS = 8
const STATUS_P50_LIMIT_MS = 1
const STATUS_P99_LIMIT_MS = 5
const BAD_DECRYPT_LIMIT_MS = 1

/** `status.*` and `badDecrypt`: what is answered without the backend; a token that counts its uses shows that it is. */
export async function measureLocalAnswers(
  { bao, plugin }: TransitParts,
  rounds: number,
): Promise<readonly FigureReport[]> {
  const { socketPath } = plugin
  const usesBefore = await requestsSoFar(bao)
  const statuses = []
  for (let round = 0; round < rounds; round++) {
    statuses.push(await load({ socketPath, operation: 'status', callers: STATUS_CALLERS, seconds: SECONDS }))
  }
  const calls = (await requestsSoFar(bao)) - usesBefore
  const refusals = []
  for (let round = 0; round < rounds; round++) {
    refusals.push(await load({ socketPath, operation: 'bad-decrypt', callers: 1, seconds: SECONDS }))
  }
  const how = `Status with ${STATUS_CALLERS} callers, ${calls} requests to OpenBao meanwhile, all of them the probe's`
  return [
    atMost(
      { ...{ name: 'status', value: median(statuses.map(each => each.p50Ms)), unit: 'ms' }, meaning: `${how}: median` },
      STATUS_P50_LIMIT_MS,
    ),
    atMost(
      {
        ...{ name: 'status.p99', value: median(statuses.map(each => each.p99Ms)), unit: 'ms' },
        meaning: `${how}: 99 %`,
      },
      STATUS_P99_LIMIT_MS,
    ),
    atMost(
      {
        ...{ name: 'badDecrypt', value: median(refusals.map(each => each.p50Ms)), unit: 'ms' },
        meaning: 'Decrypt of data with one changed bit, refused: median, against the limit',
      },
      BAD_DECRYPT_LIMIT_MS,
    ),
  ]
}

/** How many calls to its transit engine OpenBao has counted: it needs {@link TELEMETRY}. */
async function requestsSoFar({ node, rootToken }: TransitOpenBao): Promise<number> {
  const answer = await fetch(`${node.apiAddress}/v1/sys/metrics?format=prometheus`, {
    headers: { 'X-Vault-Token': rootToken },
  })
  const counts = [...(await answer.text()).matchAll(/^vault_route_(?:update|read)_transit__count (\d+)$/gm)]
  if (counts.length === 0) throw new Error('OpenBao counts no calls of its transit engine')
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}
