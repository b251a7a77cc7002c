import { type Logger } from 'pino'
import {
  currentGeneration,
  isGivenUp,
  type Keyring,
  OpenKeyring,
  type OpenOptions,
  reinstateRecords,
  type SealKeys,
} from '@sealwright/keyring'
import {
  type AgentLock,
  classifySealFailure,
  type ConfiguredSeal,
  createLine,
  proveThrough,
  refusedPins,
} from '@sealwright/node-seals'
import { type Secret } from '@sealwright/secret'
import { hasErrorCode } from '@sealwright/system-error'
import { type SealAttempt, type SealFailure } from '@sealwright/unseal'
import { type AgentReporter } from '../report/log.ts'
import { type AgentMetrics } from '../report/metrics.ts'
import { type KeyringAbsorber, keyringAbsorber } from './absorb.ts'
import { CustodyError } from './custody-error.ts'
import { createKeyholder, type Keyholder } from './keyholder.ts'
import { nodeOpeners } from './node-openers.ts'
import { keyringOffers } from './offers.ts'
import { aheadOpener } from './open-ahead.ts'
import { withRecordsOfMissed } from './missed-generations.ts'
import { ownRecords, unlockThrough } from './own-records.ts'
import { storedIfAny, storedOr } from './stored-keyring.ts'
import { storeKeeper } from './store-keeper.ts'
import { storeProof } from './store-proof.ts'
import { type Arrival, waysIn } from './ways-in.ts'

/** A keyring with its plain seal keys, as a change needs and gives them. */
export interface Unlocked {
  readonly keyring: Keyring
  /** Hold the key of the current generation. */
  readonly sealKeys: SealKeys
}

/** What a change makes of it. */
export interface Changed extends Unlocked {
  /** Seals that must open all their new records in it, beside that some seal opens it: those that got any. */
  readonly provenBy?: readonly ConfiguredSeal[]
  /** What else must hold of it as it is read back. */
  readonly prove?: (keyring: Keyring, signal: AbortSignal) => Promise<void>
}

/** Makes the next keyring. The keys it is given stay the caller's; those it returns may share them and are wiped as well. */
export type KeyringChange = (unlocked: Unlocked, signal: AbortSignal) => Changed | Promise<Changed>

/** The keyring of this node: held open in memory, kept in the store, and united with whatever other nodes know. */
export interface Custody {
  readonly holder: Keyholder<OpenKeyring>
  /** What every keyring that is held must be able to do. */
  readonly opening: OpenOptions
  /** Learns from the bytes of a keyring that came from outside; see `KeyringAbsorber.absorb`. */
  readonly absorb: KeyringAbsorber['absorb']
  /**
   * As {@link Custody.absorb}, for somebody who wants to know what came of it; also if the same bytes were looked at before.
   *
   * @throws {CustodyError} `CUSTODY_SEALED` if a seal has to come back first; {KeyringError}: what is wrong with the keyring.
   */
  readonly learn: (bytes: Uint8Array, signal: AbortSignal) => Promise<void>
  /** Tries again what waits for an operator, seals and keyrings that were refused: the configuration may have changed. */
  startAfresh(): void
  /** The keyring that a seal would open now: the one that is held, else what the store has or OpenBao has brought. */
  known(): Promise<Keyring>
  /** Takes note that what is {@link Custody.known} did not open in another way than by a seal: if OpenBao has brought it, others come first. */
  unopened(keyring: Keyring, error: unknown): void
  /**
   * Names of seals that open what the store has, and not what is held, or not all of it, which is not stored for that reason. Any change puts
   * their records back. So it is after a firmware was taken back, when OpenBao brings the record of the newer one; and where somebody who had
   * an old key has changed a record.
   */
  toRenew(): ReadonlySet<string>
  /**
   * Changes the keyring: a seal gives the plain keys for a moment, records of this node that others have spoilt are put back, the result is
   * written to the store and opened from there by a seal, and only then used. Changes happen one after another. Killed anywhere, the store
   * has the old keyring or the new.
   *
   * @returns What is held then: the result, united with what was learned meanwhile.
   * @throws {CustodyError} `CUSTODY_SEALED`; {KeyringError}, {@link StoreError}; what `change` throws.
   */
  change(change: KeyringChange, signal: AbortSignal): Promise<OpenKeyring>
  /**
   * The plain seal key of one generation, from a seal, for a moment: for an OpenBao that keeps it itself.
   *
   * @returns Owned by the caller, who wipes it; `undefined` if the keyring has no such generation, or no seal of this node reaches it.
   * @throws {CustodyError} `CUSTODY_SEALED`.
   */
  sealKey(keyId: string, signal: AbortSignal): Promise<Secret | undefined>
  /** Ends the keeping: what is held is closed. */
  close(): void
}

/**
 * Tries one after another; what the last one failed with is thrown.
 *
 * @param mayGoOn - told of each failure: whether the next one may be tried.
 */
async function firstThatOpens<T>(
  [keyring, ...others]: readonly [Keyring, ...Keyring[]],
  open: (keyring: Keyring) => Promise<T>,
  mayGoOn: (keyring: Keyring, error: unknown) => boolean,
): Promise<T> {
  try {
    return await open(keyring)
  } catch (error) {
    const [next, ...rest] = others
    if (!mayGoOn(keyring, error) || next === undefined) throw error
    return await firstThatOpens([next, ...rest], open, mayGoOn)
  }
}

/** Failures at which an operator is needed although no device was given a PIN, so that it cannot have counted a wrong one. */
function sentNoPin(error: unknown): boolean {
  return hasErrorCode(error, 'TPM_POLICY_WEAKER')
}

export interface CustodyDependencies {
  readonly storePath: string
  readonly lock: AgentLock
  /** The cluster that this node belongs to, 16 bytes, if the configuration says, as it is now. */
  readonly clusterId: () => Uint8Array | undefined
  /** Those of the configuration that are not disabled, as it is now. */
  readonly seals: () => readonly ConfiguredSeal[]
  readonly metrics: AgentMetrics
  readonly report: AgentReporter
  readonly log: Logger
  /** What every keyring that is held must be able to do; nothing beyond the usual when left out. */
  readonly opening?: OpenOptions
  /** What is held is not what it was. */
  readonly onChanged: (held: Keyring) => void
  /** {@link Custody.toRenew} has another seal in it. */
  readonly onRecordLost?: () => void
  /** One try of one seal, for the audit log. */
  readonly onAttempt?: (attempt: SealAttempt) => void
  /** Called with the revision of each keyring that the store has got. */
  readonly onStored?: (revision: number) => void
  /** Ends with the agent. */
  readonly signal: AbortSignal
}

export function keyringCustody(dependencies: CustodyDependencies): Custody {
  const { storePath, lock, clusterId, seals, metrics, report, log, opening = {}, onChanged, signal } = dependencies
  const { onRecordLost = () => undefined } = dependencies
  const offers = keyringOffers(clusterId)
  const inLine = createLine()
  const pins = refusedPins((seal, error) => {
    const { code, message: reason } = classifySealFailure(error)
    log.warn({ seal, code, reason }, 'PIN refused for a record; it is not sent for that one again before a reload')
  })
  const openers = nodeOpeners({ seals, clusterId, opening, pins })
  const { ourMembers } = openers

  /** The keyrings that a seal may open, best first. */
  const openable = async (): Promise<readonly Keyring[]> => {
    const held = holder.held()?.key.keyring
    return await storedOr(storePath, held === undefined ? offers.list() : [held])
  }

  const unopened = (keyring: Keyring, error: unknown): void => {
    offers.failed(keyring, error)
    if (hasErrorCode(error, 'KEYRING_AUTH_FAILED')) report.keyringRefused(error)
  }

  /** Takes note that a keyring did not open, and of what kind the failure is. */
  const noteFailure = (keyring: Keyring, error: unknown): SealFailure['kind'] => {
    const { kind } = classifySealFailure(error)
    if (kind !== 'transient') unopened(keyring, error)
    return kind
  }

  const holder: Keyholder<OpenKeyring> = createKeyholder<OpenKeyring>({
    seals: () =>
      seals().map(seal => ({
        name: seal.name,
        priority: seal.priority,
        prepare: () => seal.prepare?.(),
        open: async openSignal => {
          await lock.ensure(openSignal)
          const [first, ...others] = await openable()
          if (first === undefined) throw new TypeError('there is one at least')
          // Only what strangers may have sent comes in several.
          return await firstThatOpens(
            [first, ...others],
            keyring => openers.openTrusted(seal, keyring, openSignal),
            (keyring, error) => {
              // Whoever waited for it has left: that says nothing of the keyring, nor of the next one.
              if (openSignal.aborted) return false
              return noteFailure(keyring, error) === 'permanent' || !seal.hasPin || sentNoPin(error)
            },
          )
        },
      })),
    now: Date.now,
    steadyNow: () => performance.now(),
    classify: classifySealFailure,
    unite: (held, brought) => held.mergedWith(brought),
    discard: keyring => {
      keyring.close()
    },
    onAttempt(attempt) {
      metrics.countAttempt(attempt)
      report.attempt(attempt)
      dependencies.onAttempt?.(attempt)
    },
    onOpened({ key, sealName }) {
      const { number: generation, keyId } = key.current
      metrics.setOpen(true, generation)
      const sinceProcessStartMs = Math.round(performance.now())
      log.info({ seal: sealName, keyId, generation, sinceProcessStartMs }, 'keyring opened')
      void keepLater()
      onChanged(key.keyring)
    },
    onProbed() {
      // What could not be written before may be written now.
      void keepLater()
    },
    onProbeBroken(error) {
      report.internalFailure('probing the seals', error)
    },
  })

  const assertWayIn = waysIn({
    sealNames: () => seals().map(({ name }) => name),
    ourMembers,
    isHealthy: name => holder.health(name).kind === 'healthy',
  })

  const merge = (keyring: Keyring | OpenKeyring): void => {
    holder.revise(held => held.mergedWith(keyring))
  }

  const mergeArrived = (keyring: Keyring | OpenKeyring, arrival: Arrival): void => {
    holder.revise(held => {
      const next = held.mergedWith(keyring)
      if (next !== held && arrival === 'by-itself') assertWayIn(held.keyring, next.keyring)
      return next
    })
  }

  const proof = storeProof({
    tryOut: (keyring, callSignal, among) =>
      holder.tryOut((name, askSignal) => openers.open(name, keyring, askSignal), callSignal, among),
    sealNames: () => seals().map(({ name }) => name),
    ...{ ourMembers, onRecordLost },
  })

  const keeper = storeKeeper({
    path: storePath,
    held: () => holder.held()?.key,
    merge,
    prove: (keyring, stored, proveSignal) => proof.prove(keyring, stored, proveSignal),
    onKept: async ({ revision }) => {
      proof.kept()
      log.info({ revision }, 'keyring stored')
      dependencies.onStored?.(revision)
      // A store that was made anew is ours from now on.
      await lock.ensure(signal)
    },
    onFailed: error => {
      report.keyringNotStored(error)
    },
  })

  /** Writes what was learned. Nothing waits for it: OpenBao is served from memory. */
  const keepLater = async (): Promise<void> => {
    try {
      await keeper.keep(signal)
    } catch (error) {
      if (!signal.aborted) report.internalFailure('storing the keyring', error)
    }
  }

  const unlock = async (keyring: Keyring, callSignal: AbortSignal): Promise<SealKeys> => {
    const sealKeys = await holder.ask(
      (name, askSignal) => unlockThrough(openers.named(name), keyring, () => storedIfAny(storePath), askSignal),
      callSignal,
    )
    if (sealKeys !== undefined) return sealKeys
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node gives the seal key now: see sealctl status')
  }

  /** With the records of this node that open, in the place of those that somebody has put there, and new ones of what else it would lose. */
  const withOwnRecords = async ({ keyring, sealKeys }: Unlocked, callSignal: AbortSignal): Promise<Keyring> => {
    const stored = await storedIfAny(storePath)
    if (stored === undefined) return keyring
    const losers = await proof.losers(keyring, stored, callSignal)
    if (losers.length === 0) return keyring
    const records = losers.flatMap(({ sealName }) => ownRecords(ourMembers, stored, sealName))
    const reinstated = reinstateRecords({ keyring, sealKeys, records })
    const still = await proof.losers(reinstated, stored, callSignal)
    return await withRecordsOfMissed(
      { keyring: reinstated, sealKeys, stored, losers: still },
      { holder, openers, seals: seals(), signal: callSignal },
    )
  }

  const apply = async (change: KeyringChange, callSignal: AbortSignal): Promise<OpenKeyring> => {
    const base = holder.held()?.key
    if (base === undefined)
      throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
    using sealKeys = await unlock(base.keyring, callSignal)
    const keyring = await withOwnRecords({ keyring: base.keyring, sealKeys }, callSignal)
    const changed = await change({ keyring, sealKeys }, callSignal)
    using changedKeys = changed.sealKeys
    if (changed.keyring !== base.keyring) {
      using next = OpenKeyring.from(changed.keyring, changedKeys, opening)
      const { provenBy = [], prove } = changed
      await keeper.keep(callSignal, {
        keyring: next,
        prove: async (readBack, proveSignal) => {
          // What was learned meanwhile is in it, too, and is not of this change.
          const proven = { former: holder.held()?.key.keyring ?? keyring, keyring: readBack }
          for (const seal of provenBy)
            await holder.inTurn(() => proveThrough(openers.careful(seal), proven, proveSignal))
          await prove?.(readBack, proveSignal)
        },
      })
      merge(next)
      // What did not fit may fit now.
      absorber.startAfresh()
    }
    return holder.held()?.key ?? base
  }

  const absorber = keyringAbsorber({
    held: () => holder.held()?.key,
    merge: mergeArrived,
    open: aheadOpener({ holder, openers, unlock, merge: mergeArrived, clusterId, opening }),
    isGivenUp: keyring => {
      const held = holder.held()?.key.keyring
      return held !== undefined && isGivenUp(keyring, currentGeneration(keyring), held)
    },
    offer: keyring => {
      offers.add(keyring)
    },
    signal,
    onLearned: ({ revision }) => {
      log.info({ revision }, 'keyring learned from another node')
    },
    onRefused: error => {
      report.keyringRefused(error)
    },
  })

  return {
    holder,
    opening,
    async known() {
      const held = holder.held()?.key.keyring
      const [known] = held === undefined ? await openable() : [held]
      if (known === undefined) throw new TypeError('there is one at least')
      return known
    },
    unopened,
    toRenew: () => proof.toRenew(),
    absorb: absorber.absorb,
    async learn(bytes, callSignal) {
      if (await absorber.learn(bytes, callSignal)) return
      throw new CustodyError('CUSTODY_SEALED', 'no seal of this node opens that keyring now: see sealctl status')
    },
    startAfresh() {
      absorber.startAfresh()
      offers.clear()
      pins.forget()
      holder.reload()
    },
    async sealKey(keyId, callSignal) {
      const keyring = holder.held()?.key.keyring
      const generation = keyring?.generations.find(each => each.keyId === keyId)
      if (keyring === undefined || generation === undefined) return undefined
      using sealKeys = await unlock(keyring, callSignal)
      return sealKeys.has(generation.id) ? sealKeys.of(generation.id).clone() : undefined
    },
    change: (change, callSignal) => inLine(() => apply(change, callSignal)),
    close() {
      holder.held()?.key.close()
    },
  }
}
