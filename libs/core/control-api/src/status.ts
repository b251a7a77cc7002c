import * as v from 'valibot'
import { type SealHealth } from '@sealwright/unseal'

// Read with `v.object`, which ignores fields it does not know: sealctl and the agent may differ in version.

const isoTime = v.pipe(v.string(), v.isoTimestamp())

const sealHealthView = v.variant('state', [
  v.object({ state: v.literal('untried') }),
  v.object({ state: v.literal('healthy'), unwrappedAt: isoTime, tookMs: v.number() }),
  v.object({
    state: v.literal('failing'),
    code: v.string(),
    message: v.string(),
    since: isoTime,
    failuresInARow: v.number(),
    /** Whether the agent goes on trying by itself. */
    retrying: v.boolean(),
  }),
])

const sealView = v.object({
  name: v.string(),
  type: v.string(),
  priority: v.number(),
  disabled: v.boolean(),
  health: sealHealthView,
})

const openBaoView = v.variant('state', [
  v.object({ state: v.literal('not-configured') }),
  /** No usable answer: the code and message say why. */
  v.object({ state: v.literal('unreachable'), address: v.string(), code: v.string(), message: v.string() }),
  v.object({
    state: v.picklist(['uninitialised', 'sealed', 'standby', 'active']),
    address: v.string(),
    version: v.string(),
    clusterId: v.optional(v.string()),
  }),
])

const keyringView = v.object({
  clusterId: v.string(),
  generation: v.number(),
  keyId: v.string(),
  openedAt: isoTime,
  openedBy: v.string(),
})

const statusView = v.object({
  version: v.string(),
  pid: v.number(),
  startedAt: isoTime,
  /** `open`: a key is in memory and OpenBao is served. `sealed`: no seal has opened yet. */
  state: v.picklist(['open', 'sealed']),
  store: v.string(),
  keyring: v.optional(keyringView),
  seals: v.array(sealView),
  /** OpenBao servers that are connected now. */
  sessions: v.number(),
  openbao: openBaoView,
})

const probeView = v.object({ seals: v.array(sealView) })

/** Health of one seal as told over the control API. */
export type SealHealthView = v.InferOutput<typeof sealHealthView>
/** One named seal of a node. */
export type SealView = v.InferOutput<typeof sealView>
/** The OpenBao server beside an agent, as it tells of itself. */
export type OpenBaoView = v.InferOutput<typeof openBaoView>
/** The opened keyring. */
export type KeyringView = v.InferOutput<typeof keyringView>
/** Answer of `GET /v1/sys/seal-status`. */
export type StatusView = v.InferOutput<typeof statusView>
/** Answer of `POST /v1/sys/seals/probe`. */
export type ProbeView = v.InferOutput<typeof probeView>

/** Checks an answer of `GET /v1/sys/seal-status`. @throws {v.ValiError} if it is none. */
export function parseStatusView(answer: unknown): StatusView {
  return v.parse(statusView, answer)
}

/** Checks an answer of `POST /v1/sys/seals/probe`. @throws {v.ValiError} if it is none. */
export function parseProbeView(answer: unknown): ProbeView {
  return v.parse(probeView, answer)
}

/** The health of a seal in the words of the control API: times as ISO 8601, durations to a tenth of a millisecond. */
export function viewSealHealth(health: SealHealth): SealHealthView {
  switch (health.kind) {
    case 'untried':
      return { state: 'untried' }
    case 'healthy':
      return {
        state: 'healthy',
        unwrappedAt: new Date(health.unwrappedAtMs).toISOString(),
        tookMs: Math.round(health.tookMs * 10) / 10,
      }
    case 'failing':
      return {
        state: 'failing',
        code: health.failure.code,
        message: health.failure.message,
        since: new Date(health.sinceMs).toISOString(),
        failuresInARow: health.failuresInARow,
        retrying: health.failure.kind !== 'operator',
      }
  }
}

/** Where the control API is asked; shared by the server and its clients. */
export const CONTROL_PATHS = {
  healthz: '/healthz',
  readyz: '/readyz',
  metrics: '/metrics',
  sealStatus: '/v1/sys/seal-status',
  probe: '/v1/sys/seals/probe',
} as const
