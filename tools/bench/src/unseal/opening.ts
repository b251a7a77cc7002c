import { type LogLine, type SealedNode } from '@sealwright/testing-cluster'
import { proxySocket } from '@sealwright/testing-rig'
import { atMost, type FigureReport, median, rounded } from '../figure.ts'
import { type NodesToCompare } from './four-seals.ts'

const FOUR_SEALS_TARGET = 1.1
/** Of the seal that hangs. */
const DEADLINE_MS = 500
/** What all the rest may take: to notice, to go on to the next seal, to open the keyring. */
const ALLOWANCE_MS = 50

/** How one start of an agent went. */
interface Opening {
  /** From its exec to the keyring opened. */
  readonly fromExecMs: number
  /** What the seal that opened took: the agent's own clock. */
  readonly unwrapMs: number
}

/**
 * `unseal.fourSeals` and `unseal.firstSeal`: a bundled agent that opens by its TPM, with three more seals configured against none. In
 * turns, on one TPM; which of the two begins alternates.
 */
export async function measureFourSeals(
  { four, single }: NodesToCompare,
  rounds: number,
): Promise<readonly FigureReport[]> {
  const pairs: { readonly withFour: Opening; readonly alone: Opening }[] = []
  for (let round = -1; round < rounds; round++) {
    const isFourFirst = round % 2 === 0
    const before = isFourFirst ? await opening(four) : undefined
    const alone = await opening(single)
    const withFour = before ?? (await opening(four))
    if (round >= 0) pairs.push({ withFour, alone })
  }
  const runs = `four seals against the TPM alone, median of ${pairs.length} pairs in turns on one TPM`
  return [
    pairReport(
      'unseal.fourSeals',
      pairs,
      ({ fromExecMs }) => fromExecMs,
      `bundled agent from exec to the keyring opened by its TPM: ${runs}`,
    ),
    pairReport(
      'unseal.firstSeal',
      pairs,
      ({ unwrapMs }) => unwrapMs,
      `of that, store read and TPM asked, as the agent's log says: ${runs}`,
    ),
  ]
}

function pairReport(
  name: string,
  pairs: readonly { readonly withFour: Opening; readonly alone: Opening }[],
  pick: (opening: Opening) => number,
  meaning: string,
): FigureReport {
  const value = rounded(median(pairs.map(({ withFour }) => pick(withFour))))
  const reference = rounded(median(pairs.map(({ alone }) => pick(alone))))
  const ratio = rounded(median(pairs.map(({ withFour, alone }) => pick(withFour) / pick(alone))))
  const target = `≤ ${FOUR_SEALS_TARGET}`
  return { name, figure: { value, unit: 'ms', reference, ratio }, meaning, target, met: ratio <= FOUR_SEALS_TARGET }
}

async function opening(node: SealedNode): Promise<Opening> {
  const startedAtMs = performance.timeOrigin + performance.now()
  const agent = await node.startAgent()
  const [unwrapped, opened] = await Promise.all([node.waitForLog('seal unwrapped'), node.waitForLog('keyring opened')])
  assertSeal(opened, 'tpm')
  await node.waitForLog('agent serves')
  await agent.stop()
  return { fromExecMs: atMs(opened) - startedAtMs, unwrapMs: tookMsOf(unwrapped) }
}

/**
 * `unseal.hanging`: the first of four seals takes the connection and never answers; from the start of that attempt to the keyring
 * opened by the second.
 */
export async function measureHangingSeal(
  { four, fourConfig }: NodesToCompare,
  rounds: number,
): Promise<readonly FigureReport[]> {
  await using hanging = await proxySocket({
    listenPath: `${four.directory}/hanging.sock`,
    targetPath: four.tpm.socketPath,
    onClientData: () => null,
  })
  await four.writeConfig({
    ...fourConfig,
    tpmSocketPath: `${four.directory}/hanging.sock`,
    seal: { deadlineMs: DEADLINE_MS },
  })
  const wholeMs: number[] = []
  const secondMs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const agent = await four.startAgent()
    const failed = await four.waitForLog('seal failed')
    assertSeal(failed, 'tpm')
    const [unwrapped, opened] = await Promise.all([
      four.waitForLog('seal unwrapped'),
      four.waitForLog('keyring opened'),
    ])
    assertSeal(opened, 'hsm')
    await agent.stop()
    wholeMs.push(atMs(opened) - atMs(failed) + tookMsOf(failed))
    secondMs.push(tookMsOf(unwrapped))
  }
  if (hanging.recorded.length < rounds) throw new Error('the agent did not ask the TPM that hangs')
  await four.writeConfig(fourConfig)
  return [
    atMost(
      {
        ...{ name: 'unseal.hanging', unit: 'ms', value: median(wholeMs) },
        meaning:
          `first of four seals hangs: from asking it to opened by the second, a token, which took ${rounded(median(secondMs))} ms of it; ` +
          `against a deadline of ${DEADLINE_MS} ms plus ${ALLOWANCE_MS} ms; median of ${rounds} starts`,
      },
      DEADLINE_MS + ALLOWANCE_MS,
    ),
  ]
}

/** When a line was logged: milliseconds since 1970. */
function atMs({ time }: LogLine): number {
  return Date.parse(String(time))
}

function tookMsOf({ tookMs }: LogLine): number {
  if (typeof tookMs === 'number') return tookMs
  throw new Error(`a line of the agent's log has no tookMs`)
}

function assertSeal({ seal, msg }: LogLine, expected: string): void {
  if (seal !== expected) throw new Error(`"${String(msg)}" is about ${String(seal)}, not ${expected}`)
}
