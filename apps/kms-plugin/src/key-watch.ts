import { setTimeout as sleep } from 'node:timers/promises'
import { type KmsConfig } from '@sealwright/kms-config'
import {
  activeVersion,
  illnessOf,
  type KeyLife,
  type KmsBackend,
  lookAtKey,
  NO_PROBES,
  probeFailed,
  probePassed,
} from '@sealwright/kms-v2'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { untilAborted } from './until-aborted.ts'

/** As many as a seed of kube-apiserver has. */
const PLAINTEXT_BYTES = 32

/** What happened to a probe, for log and metrics. */
export type WatchEvent =
  | { readonly kind: 'probe-passed'; readonly tookMs: number }
  | { readonly kind: 'probe-failed'; readonly cause: unknown }
  /** Less was seen than is known: a server that lags behind, or the first sign of an older copy of the key. Looked at again soon. */
  | { readonly kind: 'probe-doubted' }
  /** The newest version is seen, and does not work yet. */
  | { readonly kind: 'newest-failed'; readonly version: number; readonly cause: unknown }
  | { readonly kind: 'life-changed'; readonly before: KeyLife | null; readonly life: KeyLife }

export interface KeyWatchOptions {
  readonly backend: KmsBackend
  readonly clusterId: string
  readonly probe: KmsConfig['probe']
  readonly rotation: KmsConfig['rotation']
  /** What was remembered; null if nothing was. */
  readonly known: KeyLife | null
  readonly onEvent: (event: WatchEvent) => void
  /** Wall clock, in milliseconds: for the dates of keys. */
  readonly now: () => number
  /** Steady clock, in milliseconds: for all else. */
  readonly steadyNow: () => number
}

/** Looks at the key again and again, and tries it: what everybody else is told comes from here. */
export interface KeyWatch {
  readonly life: () => KeyLife | null
  /** Whether a probe has passed since the start. */
  readonly hasLooked: () => boolean
  /** Resolves when the look that is under way has ended, or `signal` fires; at once between two looks. */
  readonly lookEnds: (signal: AbortSignal) => Promise<void>
  /** What is wrong with the backend, in words for kube-apiserver; null if nothing is. */
  readonly illness: () => string | null
  /** Steady clock of the last probe that passed; null before the first. */
  readonly lastPassedAtMs: () => number | null
  /** When the key is known: remembered, or seen by a first look that has passed. */
  readonly whenKnown: Promise<void>
  /** Makes the next look come at once, or at the next time that this is allowed: once in each `retryIntervalMs`. */
  readonly lookNow: () => void
  /** Looks until `signal` is aborted. Never throws. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

export function keyWatch(options: KeyWatchOptions): KeyWatch {
  const { backend, clusterId, probe, rotation: policy, onEvent, now, steadyNow } = options
  let life = options.known
  let history = NO_PROBES
  let turn = 0
  let underWay = Promise.resolve()
  let nudge = new AbortController()
  let lastNudgedAtMs = Number.NEGATIVE_INFINITY
  const { promise: whenKnown, resolve: isKnown } = Promise.withResolvers<undefined>()
  const tellIfKnown = (): void => {
    // What former keys have encrypted can be asked for, whether or not there is a new one.
    if (life !== null && (activeVersion(life) !== undefined || life.former.length > 0)) isKnown(undefined)
  }
  tellIfKnown()

  const look = async (signal: AbortSignal): Promise<'passed' | 'doubted'> => {
    const before = life
    const newPlaintext = (): Secret => new Secret(randomKeyBytes(PLAINTEXT_BYTES))
    const found = await lookAtKey(
      before,
      {
        backend,
        clusterId,
        policy,
        nowMs: now(),
        turn: (turn += 1),
        isFirst: history.lastPassedAtMs === null,
        newPlaintext,
      },
      { signal },
    )
    life = found.life
    if (before === null || hasChanged(before, life)) onEvent({ kind: 'life-changed', before, life })
    if (found.newestFailure !== null) onEvent({ kind: 'newest-failed', ...found.newestFailure })
    if (found.failure !== null) throw found.failure.cause
    return found.isDoubtful ? 'doubted' : 'passed'
  }

  const lookOnce = async (signal: AbortSignal): Promise<void> => {
    const startedAtMs = steadyNow()
    try {
      if ((await look(signal)) === 'doubted') {
        onEvent({ kind: 'probe-doubted' })
        return
      }
      history = probePassed(steadyNow())
      tellIfKnown()
      onEvent({ kind: 'probe-passed', tookMs: steadyNow() - startedAtMs })
    } catch (cause) {
      if (signal.aborted) return
      history = probeFailed(history, cause)
      onEvent({ kind: 'probe-failed', cause })
    }
  }

  const isCalm = (): boolean =>
    history.failures === 0 && (life === null || (life.trouble === null && life.doubts === 0))

  return {
    life: () => life,
    hasLooked: () => history.lastPassedAtMs !== null,
    lookEnds: async signal => {
      await Promise.race([underWay, untilAborted(signal)])
    },
    whenKnown,
    illness: () => illnessOf(history, { nowMs: steadyNow(), policy: probe }),
    lastPassedAtMs: () => history.lastPassedAtMs,
    lookNow: () => {
      nudge.abort()
    },
    run: async signal => {
      while (!signal.aborted) {
        nudge = new AbortController()
        underWay = lookOnce(signal)
        await underWay
        const isNudged = await pause(isCalm() ? probe.intervalMs : probe.retryIntervalMs, signal, nudge.signal)
        if (!isNudged) continue
        await pause(lastNudgedAtMs + probe.retryIntervalMs - steadyNow(), signal)
        lastNudgedAtMs = steadyNow()
      }
    },
  }
}

/** Whether a node has to remember, or an operator has to hear, what is new. */
function hasChanged(before: KeyLife, after: KeyLife): boolean {
  const facts = ({ versions, former, trouble }: KeyLife): string => {
    const numbers = trouble?.kind === 'replaced' ? [trouble.version] : trouble
    return JSON.stringify([
      versions.map(({ version, phase, sample }) => [version, phase, sample !== null]),
      former.length,
      trouble?.kind,
      numbers,
    ])
  }
  return facts(before) !== facts(after)
}

/** @returns whether `nudge` ended it. */
async function pause(pauseMs: number, signal: AbortSignal, nudge?: AbortSignal): Promise<boolean> {
  try {
    await sleep(Math.max(pauseMs, 0), undefined, {
      signal: nudge === undefined ? signal : AbortSignal.any([signal, nudge]),
    })
    return false
  } catch {
    return nudge?.aborted === true && !signal.aborted // woken
  }
}
