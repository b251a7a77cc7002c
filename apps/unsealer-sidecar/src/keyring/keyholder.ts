import { setTimeout as delay } from 'node:timers/promises'
import { createLine } from '@sealwright/node-seals'
import pRetry from 'p-retry'
import {
  mayTry,
  nextSealHealth,
  openByPriority,
  type NamedSeal,
  type OpenOutcome,
  type SealAttempt,
  type SealFailure,
  type SealHealth,
} from '@sealwright/unseal'
import { createLatch } from './latch.ts'

/** A key that a seal has opened, and which seal that was. */
export interface Held<Key> {
  readonly key: Key
  readonly sealName: string
  readonly openedAtMs: number
}

export interface KeyholderDependencies<Key> {
  /** The seals that may be asked, as they are now: an operator may add one while the agent runs. */
  readonly seals: () => readonly NamedSeal<Key>[]
  /** Wall clock in milliseconds. */
  readonly now: () => number
  /** Steady clock in milliseconds, for durations. */
  readonly steadyNow: () => number
  readonly classify: (error: unknown) => SealFailure
  /**
   * What is held once a later unwrap brought another key: the one that was held if the other says nothing new, or one that
   * has what both have. What it throws is a failure of the seal that brought it.
   */
  readonly unite: (held: Key, brought: Key) => Key
  /** Called with a key that is not, or no longer, held. */
  readonly discard: (key: Key) => void
  readonly onAttempt: (attempt: SealAttempt) => void
  /** Called for each key that is held from now on: the first, and each that takes its place. */
  readonly onOpened: (held: Held<Key>) => void
  /** Called after each probe: what could not be done before may be possible now. */
  readonly onProbed?: () => void
  /** A probe broke in a way that `classify` does not know: a bug. The key is still held. */
  readonly onProbeBroken: (error: unknown) => void
}

/** Opens the keyring as soon as any seal lets it, keeps it, and goes on proving that the seals still open. */
export interface Keyholder<Key> {
  held(): Held<Key> | undefined
  /** The key, once there is one; `undefined` after `timeoutMs` without, or when `signal` is aborted. */
  waitForKey(timeoutMs: number, signal: AbortSignal): Promise<Held<Key> | undefined>
  health(sealName: string): SealHealth
  /** Unwraps through every seal for real, except those that only an operator can mend. */
  probe(signal: AbortSignal): Promise<void>
  /**
   * Opens something else than usual through the same seals, by priority, and unites it with what is held.
   *
   * What fails says nothing of the health of a seal: what it was given may be at fault. Only a failure that an operator has to mend is
   * remembered, since to try again could do harm.
   *
   * @param openAs - what each seal opens this time.
   * @returns who opened it, or why no seal did; without any failure if there was none to ask.
   */
  bring(openAs: (sealName: string, signal: AbortSignal) => Promise<Key>, signal: AbortSignal): Promise<OpenOutcome<Key>>
  /** Does something with a seal in turn with all other asking. What comes of it says nothing of its health. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  /**
   * Takes over what was opened in another way than by asking a seal, such as by people with shares, and unites it with what is held.
   *
   * @param sealName - by which it was opened.
   */
  adopt(sealName: string, open: (signal: AbortSignal) => Promise<Key>, signal: AbortSignal): Promise<void>
  /** Asks the seals for something, by priority, in turn with all other asking; `undefined` if none gives it. */
  ask<T>(what: (sealName: string, signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | undefined>
  /**
   * Tries something out with the seals, by priority, in turn with all other asking. As with {@link Keyholder.bring}, what fails says
   * nothing of the health of a seal.
   *
   * @param among - names of the seals that may be asked; all of them when left out.
   */
  tryOut<T>(
    what: (sealName: string, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    among?: readonly string[],
  ): Promise<OpenOutcome<T>>
  /** Puts another key in the place of the one that is held, if there is one. It may be the same: then nothing happens. */
  revise(change: (held: Key) => Key): void
  /** An operator changed something: seals that waited for that may be tried again. */
  reload(): void
  /**
   * Tries until a seal opens, then probes at each interval. Ends when `signal` is aborted, or before a key is held by an
   * error that `classify` does not know; once a key is held nothing else ends it.
   */
  run(options: { readonly probeIntervalMs: number; readonly signal: AbortSignal }): Promise<void>
}

const FIRST_RETRY_MS = 250
/** OpenBao itself asks again every 5 s: a TPM that comes late must be found before that. */
const MAX_RETRY_MS = 3_000

/** No seal opened in this round; the next round may. */
class NotOpenedYet extends Error {
  override readonly name = 'NotOpenedYet'
}

/** Does not keep the process from ending. */
function afterMs(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs).unref()
  return () => {
    clearTimeout(timer)
  }
}

export function createKeyholder<Key>(dependencies: KeyholderDependencies<Key>): Keyholder<Key> {
  const { now, steadyNow, classify, unite, discard, onOpened, onProbeBroken } = dependencies
  const clock = { now: steadyNow, after: afterMs }
  const healthByName = new Map<string, SealHealth>()
  let held: Held<Key> | undefined
  const keyIsHeld = createLatch()
  /** One at a time: a PIN that is wrong must not be tried twice because two callers came together. */
  const inTurn = createLine()

  const health = (sealName: string): SealHealth => healthByName.get(sealName) ?? { kind: 'untried' }

  const onAttempt = (attempt: SealAttempt): void => {
    const atMs = now()
    const event =
      attempt.kind === 'opened'
        ? ({ kind: 'unwrapped', atMs, tookMs: attempt.tookMs } as const)
        : ({ kind: 'failed', atMs, failure: attempt.failure } as const)
    healthByName.set(attempt.sealName, nextSealHealth(health(attempt.sealName), event))
    dependencies.onAttempt(attempt)
  }

  const take = (key: Key, sealName: string): void => {
    const before = held
    if (before?.key === key) return
    held = { key, sealName, openedAtMs: now() }
    keyIsHeld.open()
    if (before !== undefined) discard(before.key)
    onOpened(held)
  }

  /** Holds what was brought, united with what is held: in one go, since something may be learned at any moment. */
  const takeIn = (brought: Key, sealName: string): Key => {
    if (held === undefined) {
      take(brought, sealName)
      return brought
    }
    let kept: Key | undefined
    try {
      kept = unite(held.key, brought)
      take(kept, sealName)
      return kept
    } finally {
      if (kept !== brought) discard(brought)
    }
  }

  const uniting = (seal: NamedSeal<Key>): NamedSeal<Key> => ({
    ...seal,
    open: async signal => takeIn(await seal.open(signal), seal.name),
  })
  /** The seals that may be tried without somebody asking for it. */
  const candidates = (): readonly NamedSeal<Key>[] => dependencies.seals().filter(({ name }) => mayTry(health(name)))

  const trySeals = async (tried: readonly NamedSeal<Key>[], signal: AbortSignal): Promise<boolean> => {
    const outcome = await openByPriority(tried.map(uniting), { ...clock, signal, classify, onAttempt })
    return outcome.kind === 'opened'
  }

  /** Notes only what counts whatever a seal was given: that it opened, and what an operator has to mend. */
  const onTrial = (attempt: SealAttempt): void => {
    if (attempt.kind === 'opened' || attempt.failure.kind === 'operator') onAttempt(attempt)
  }

  const openOnce = (signal: AbortSignal): Promise<void> =>
    inTurn(async () => {
      if (held === undefined && !(await trySeals(candidates(), signal)))
        throw new NotOpenedYet('no seal has opened yet')
    })

  const probe = async (signal: AbortSignal): Promise<void> => {
    await inTurn(async () => {
      for (const seal of candidates()) {
        signal.throwIfAborted()
        await trySeals([seal], signal)
      }
    })
    dependencies.onProbed?.()
  }

  return {
    held: () => held,
    health,
    probe,
    bring: (openAs, signal) =>
      inTurn(async () => {
        const tried = candidates().map(seal => ({
          ...seal,
          open: async (openSignal: AbortSignal) => takeIn(await openAs(seal.name, openSignal), seal.name),
        }))
        return await openByPriority(tried, { ...clock, signal, classify, onAttempt: onTrial })
      }),
    inTurn,
    adopt: (sealName, open, signal) =>
      inTurn(async () => {
        const startedAtMs = steadyNow()
        takeIn(await open(signal), sealName)
        onAttempt({ kind: 'opened', sealName, tookMs: steadyNow() - startedAtMs })
      }),
    ask: (what, signal) =>
      inTurn(async () => {
        const asked = candidates().map(seal => ({
          ...seal,
          open: (askSignal: AbortSignal) => what(seal.name, askSignal),
        }))
        const outcome = await openByPriority(asked, { ...clock, signal, classify, onAttempt })
        return outcome.kind === 'opened' ? outcome.opened : undefined
      }),
    tryOut: (what, signal, among) =>
      inTurn(async () => {
        const tried = candidates()
          .filter(({ name }) => among?.includes(name) ?? true)
          .map(seal => ({ ...seal, open: (limit: AbortSignal) => what(seal.name, limit) }))
        return await openByPriority(tried, { ...clock, signal, classify, onAttempt: onTrial })
      }),
    revise(change) {
      if (held !== undefined) take(change(held.key), held.sealName)
    },
    async waitForKey(timeoutMs, signal) {
      if (held === undefined) await keyIsHeld.wait(timeoutMs, signal)
      return held
    },
    reload() {
      for (const [name, current] of healthByName) healthByName.set(name, nextSealHealth(current, { kind: 'reloaded' }))
    },
    async run({ probeIntervalMs, signal }) {
      await pRetry(() => openOnce(signal), {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: FIRST_RETRY_MS,
        maxTimeout: MAX_RETRY_MS,
        randomize: true,
        signal,
        shouldRetry: ({ error }) => error instanceof NotOpenedYet,
      })
      for (;;) {
        await delay(probeIntervalMs, undefined, { signal })
        try {
          await probe(signal)
        } catch (error) {
          signal.throwIfAborted()
          onProbeBroken(error)
        }
      }
    },
  }
}
