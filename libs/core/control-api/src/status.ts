import * as v from 'valibot'
import { type SealHealth } from '@sealwright/unseal'
import { isoTime } from './views/places.ts'

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

const shareSetView = v.object({
  label: v.string(),
  threshold: v.pipe(v.number(), v.description('how many shares it takes')),
  count: v.pipe(v.number(), v.description('how many there are')),
  entered: v.pipe(v.array(v.number()), v.description('numbers of the shares that are in now')),
})

const sealView = v.object({
  name: v.string(),
  type: v.string(),
  priority: v.number(),
  disabled: v.boolean(),
  health: sealHealthView,
  sets: v.optional(
    v.pipe(
      v.array(shareSetView),
      v.description(
        'of a Shamir seal, in a status only: its sets of shares, by the store while this node is sealed; absent if nobody can say',
      ),
    ),
  ),
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

const refusedKeyringView = v.pipe(
  v.object({
    code: v.string(),
    message: v.string(),
    keyId: v.pipe(v.string(), v.description('of the key under which the leader encrypts')),
    since: isoTime,
  }),
  v.description(
    'the leader of OpenBao encrypts under a key that is not in the keyring here, since the one that it sends along was refused or does not ' +
      'help: after a restart OpenBao would stay sealed here. Absent once the key is held. With `CUSTODY_SHUT_OUT` the key may be held, and that of ' +
      'the next rotation will not be. Looked at anew at each `agent.learnIntervalMs`',
  ),
)

/** In the words of the RFC: what a real unwrap found, not a ping. */
const autoUnsealHealth = v.pipe(
  sealHealthView,
  v.description('what the last real unwrap through the seal found; a Shamir seal is never tried'),
)

export const namedSealStatusView = v.object({
  name: v.string(),
  type: v.string(),
  priority: v.number(),
  disabled: v.boolean(),
  sealed: v.pipe(v.boolean(), v.description('of the whole node, whichever seal is asked for')),
  opened: v.pipe(v.boolean(), v.description('it opened the keyring that this node holds')),
  autoUnsealHealth,
  sets: v.optional(
    v.pipe(
      v.array(shareSetView),
      v.description('of a Shamir seal only: its sets of shares; none before the first was made'),
    ),
  ),
})

export const statusView = v.object({
  version: v.string(),
  pid: v.number(),
  startedAt: isoTime,
  /** `open`: a key is in memory and OpenBao is served. `sealed`: no seal has opened yet. */
  state: v.picklist(['open', 'sealed']),
  store: v.string(),
  keyring: v.optional(keyringView),
  refusedKeyring: v.optional(refusedKeyringView),
  currentSeal: v.optional(
    v.pipe(
      v.object({ name: v.string(), autoUnsealHealth }),
      v.description('the seal that opened this node; while it is sealed, the one that is tried first'),
    ),
  ),
  seals: v.array(sealView),
  /** OpenBao servers that are connected now. */
  sessions: v.number(),
  openbao: openBaoView,
})

export const probeView = v.object({ seals: v.array(sealView) })

/** Health of one seal as told over the control API. */
export type SealHealthView = v.InferOutput<typeof sealHealthView>
/** One named seal of a node. */
export type SealView = v.InferOutput<typeof sealView>
/** The OpenBao server beside an agent, as it tells of itself. */
export type OpenBaoView = v.InferOutput<typeof openBaoView>
/** A keyring of the leader that was not taken. */
export type RefusedKeyringView = v.InferOutput<typeof refusedKeyringView>
/** A set of shares of a Shamir seal, and how far its collecting is. */
export type ShareSetView = v.InferOutput<typeof shareSetView>
/** The opened keyring. */
export type KeyringView = v.InferOutput<typeof keyringView>
/** Answer of `GET /v1/sys/seal-status`. */
export type StatusView = v.InferOutput<typeof statusView>
/** Answer of `GET /v1/sys/seal-status/:name`. */
export type NamedSealStatusView = v.InferOutput<typeof namedSealStatusView>
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
