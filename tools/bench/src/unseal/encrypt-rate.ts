import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type SealedNode } from '@sealwright/testing-cluster'
import { atLeast, atMost, type FigureReport, median } from '../figure.ts'
import { connectPluginHost, type PluginHost } from './plugin-host.ts'

const CALLS_PER_SECOND_TARGET = 3_000
const CALLS_IN_FLIGHT = 16
const WARM_UP_MS = 3_000
const WINDOW_MS = 2_000

/** In which `/proc` counts the time of a processor: the kernel's USER_HZ, 100 per second on every architecture of ours. */
const US_PER_TICK = 10_000
const US_PER_SECOND = 1_000_000

/** What OpenBao has its seal encrypt: what it keeps is answered with the keyring, a probe without. */
const PLAINTEXTS = [
  { name: 'encrypt.kept', bytes: 32, carriesKeyring: true, what: '32 bytes, answered with the keyring' },
  { name: 'encrypt.probe', bytes: 13, carriesKeyring: false, what: '13 bytes, a probe' },
] as const

/** What one window of calls gave. */
interface Rate {
  readonly callsPerSecond: number
  /** Time of a processor that the agent took for each call. */
  readonly agentUs: number
}

/**
 * `encrypt.kept` and `encrypt.probe`: calls of `Encrypt` per second on one connection to a bundled agent, the client on the same cores;
 * `encrypt.processor`: what a call costs the agent, which says more where other programs run.
 */
export async function measureEncryptRate(node: SealedNode, rounds: number): Promise<readonly FigureReport[]> {
  const agent = await node.startAgent()
  await Promise.all([node.waitForLog('keyring opened'), node.waitForLog('agent serves')])
  const measured = PLAINTEXTS.map(plaintext => ({ ...plaintext, rates: new Array<Rate>() }))
  try {
    await using host = await connectPluginHost(node)
    const window = { host, agentPid: agent.pid }
    for (const { bytes, carriesKeyring } of measured) {
      await assertAnswer(host, bytes, carriesKeyring)
      await measureRate({ ...window, bytes, durationMs: WARM_UP_MS })
    }
    for (let round = 0; round < rounds; round++) {
      for (const { bytes, rates } of measured)
        rates.push(await measureRate({ ...window, bytes, durationMs: WINDOW_MS }))
    }
  } finally {
    await agent.stop()
  }
  const how = `${CALLS_IN_FLIGHT} in flight on one connection, median of ${rounds} windows in turns, against the limit`
  const agentUs = median(measured.flatMap(({ rates }) => rates.map(rate => rate.agentUs)))
  return [
    ...measured.map(({ name, what, rates }) =>
      atLeast(
        {
          ...{ name, unit: 'calls/s', value: median(rates.map(rate => rate.callsPerSecond)) },
          meaning: `Encrypt of ${what}: ${how}`,
        },
        CALLS_PER_SECOND_TARGET,
      ),
    ),
    atMost(
      {
        ...{ name: 'encrypt.processor', unit: 'µs', value: agentUs },
        meaning: `time of a processor that the agent takes for such a call, of both kinds, against what one has at ${CALLS_PER_SECOND_TARGET} calls/s`,
      },
      US_PER_SECOND / CALLS_PER_SECOND_TARGET,
    ),
  ]
}

async function measureRate(window: {
  readonly host: PluginHost
  readonly agentPid: number
  readonly bytes: number
  readonly durationMs: number
}): Promise<Rate> {
  const { host, agentPid, bytes, durationMs } = window
  const plaintext = randomBytes(bytes)
  const ticksBefore = readProcessorTicks(agentPid)
  const startedAtMs = performance.now()
  const endsAtMs = startedAtMs + durationMs
  let calls = 0
  const caller = async (): Promise<void> => {
    while (performance.now() < endsAtMs) {
      await host.encrypt(plaintext)
      calls += 1
    }
  }
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, caller))
  return {
    callsPerSecond: calls / ((performance.now() - startedAtMs) / 1_000),
    agentUs: ((readProcessorTicks(agentPid) - ticksBefore) * US_PER_TICK) / calls,
  }
}

/** proc_pid_stat(5): `utime` and `stime`, the 12th and 13th field after the name, which stands in brackets. */
function readProcessorTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** That it is the real thing which is measured: a ciphertext, and the keyring beside it or not. */
async function assertAnswer(host: PluginHost, plaintextBytes: number, carriesKeyring: boolean): Promise<void> {
  const blob = fieldOf(await host.encrypt(randomBytes(plaintextBytes)), 'blob')
  const ciphertext = byteLengthOf(fieldOf(blob, 'ciphertext'))
  const keyring = byteLengthOf(fieldOf(fieldOf(blob, 'keyInfo'), 'wrappedKey'))
  if (ciphertext > plaintextBytes && keyring > 0 === carriesKeyring) return
  throw new Error(`${plaintextBytes} bytes gave a ciphertext of ${ciphertext} and a keyring of ${keyring} bytes`)
}

function fieldOf(message: unknown, name: string): unknown {
  return typeof message === 'object' && message !== null
    ? (message as Readonly<Record<string, unknown>>)[name]
    : undefined
}

/** 0 for what is not there: proto3 leaves out empty fields. */
function byteLengthOf(value: unknown): number {
  return value instanceof Uint8Array ? value.byteLength : 0
}
