import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { type KmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { OpenBaoError, parseAddress } from '@sealwright/openbao'
import * as v from 'valibot'
import { type Check, type CheckId, failed, passed, skipped, warning } from './check.ts'
import { expiryOf } from './local-checks.ts'
import { readJson, TIMEOUT_MS, withNode } from './openbao-connection.ts'

const MS_PER_SECOND = 1_000
/** What clocks that are kept by NTP never differ by. */
const SUSPICIOUS_CLOCK_MS = 10_000
const HTTPS_PORT = '443'

/** By which `sys/health` tells how a node is. */
const HEALTH_STATUSES = [200, 429, 472, 473, 501, 503]
const health = v.object({
  initialized: v.boolean(),
  sealed: v.boolean(),
  standby: v.boolean(),
  version: v.string(),
  server_time_utc: v.optional(v.number()),
})

/** What the nodes of a configuration say of themselves. */
export interface NodeChecks {
  readonly checks: readonly Check[]
  /** The first that could serve; undefined if none could. */
  readonly usableAddress: string | undefined
}

export async function checkNodes(
  config: KmsConfig,
  backend: TransitBackendConfig,
  { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
): Promise<NodeChecks> {
  const nodes = await Promise.all(
    backend.addresses.map(async (address, index) => await checkAddress(address, index, backend, signal)),
  )
  const certificates = await Promise.all(
    backend.addresses.map(async address => await checkServerCertificate(address, backend, { now, signal })),
  )
  const usable = nodes.find(({ isUsable }) => isUsable)
  return {
    usableAddress: usable?.address,
    checks: [
      // One is enough; another one that is away is a matter for today, not for tonight.
      ...nodes.map(({ check }) =>
        check.outcome === 'failed' && usable !== undefined ? { ...check, outcome: 'warning' as const } : check,
      ),
      ...certificates.flat(),
      usable === undefined ? skipped('clock', 'no node can serve') : checkClock(config, usable.serverTimeMs, now),
    ],
  }
}

interface NodeCheck {
  readonly address: string
  readonly check: Check
  readonly isUsable: boolean
  /** By its own clock. */
  readonly serverTimeMs: number | undefined
}

async function checkAddress(
  address: string,
  index: number,
  backend: TransitBackendConfig,
  signal: AbortSignal,
): Promise<NodeCheck> {
  const id: CheckId = `backend-reachable/${index}`
  try {
    const answer = await withNode(
      address,
      backend,
      async send => await send({ method: 'GET', path: 'sys/health', call: { signal }, expected: HEALTH_STATUSES }),
    )
    const { sealed, standby, initialized, version, server_time_utc: time } = readJson(health, answer)
    const isUsable = initialized && !sealed
    const state = sealed ? 'sealed' : standby ? 'standby' : 'active'
    const found = `${address}: ${initialized ? state : 'not initialised'}, version ${version}`
    return {
      ...{ address, isUsable, serverTimeMs: time === undefined ? undefined : time * MS_PER_SECOND },
      check: isUsable ? passed(id, found) : failed(id, found, 'unseal it'),
    }
  } catch (error) {
    if (!(error instanceof OpenBaoError)) throw error
    const remedy = 'check that it runs, and addresses and tls of the configuration'
    return {
      ...{ address, isUsable: false, serverTimeMs: undefined },
      check: failed(id, `${address}: ${error.code}: ${error.message}`, remedy),
    }
  }
}

/** When the certificate that a server shows ends. Whether it is to be believed is found by who asks it something. */
async function checkServerCertificate(
  address: string,
  { tls }: TransitBackendConfig,
  { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
): Promise<readonly Check[]> {
  const parsed = parseAddress(address, { unsafelyAllowPlainHttp: true })
  if (parsed.kind !== 'https') return []
  const { port } = new URL(parsed.origin)
  const serverName = tls.serverName ?? parsed.hostname
  const end = await new Promise<Date | undefined>(resolve => {
    const socket = connect({
      ...{ host: parsed.hostname, port: Number(port || HTTPS_PORT), timeout: TIMEOUT_MS },
      // Nothing is sent: it is only looked at.
      rejectUnauthorized: false,
      // An address is no name.
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    })
    const finish = (found: Date | undefined): void => {
      signal.removeEventListener('abort', giveUp)
      socket.destroy()
      resolve(found)
    }
    const giveUp = (): void => {
      finish(undefined)
    }
    signal.addEventListener('abort', giveUp)
    if (signal.aborted) giveUp()
    socket.once('secureConnect', () => {
      finish(socket.getPeerX509Certificate()?.validToDate)
    })
    for (const event of ['error', 'timeout']) {
      socket.once(event, giveUp)
    }
  })
  return end === undefined ? [] : [expiryOf(address, end, now)]
}

/** New versions become active by their age: clocks must agree better than that. */
function checkClock(
  { rotation: { activationDelayMs } }: KmsConfig,
  serverTimeMs: number | undefined,
  now: Date,
): Check {
  if (serverTimeMs === undefined) return skipped('clock', 'OpenBao does not tell its time')
  const differsMs = Math.abs(now.getTime() - serverTimeMs)
  const found = `it differs from OpenBao’s by ${Math.floor(differsMs / MS_PER_SECOND)} s`
  const remedy = 'keep the clocks of all nodes by NTP: a new version of the key becomes active by its age'
  if (differsMs > Math.max(activationDelayMs, SUSPICIOUS_CLOCK_MS)) return failed('clock', found, remedy)
  return differsMs > SUSPICIOUS_CLOCK_MS ? warning('clock', found, remedy) : passed('clock', found)
}
