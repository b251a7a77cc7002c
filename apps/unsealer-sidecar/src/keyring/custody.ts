import { type Logger } from 'pino'
import {
  assertOrigin,
  findRecords,
  followSealKeys,
  type Keyring,
  OpenKeyring,
  type SealKeys,
} from '@sealwright/keyring'
import {
  classifySealFailure,
  type ConfiguredSeal,
  openThrough,
  proveThrough,
  proveThroughAny,
  unwrapThrough,
} from '@sealwright/node-seals'
import { hasErrorCode } from '@sealwright/system-error'
import { type AgentReporter } from '../report/log.ts'
import { type AgentMetrics } from '../report/metrics.ts'
import { keyringAbsorber } from './absorb.ts'
import { createKeyholder, type Keyholder } from './keyholder.ts'
import { createLine } from './line.ts'
import { storedOr } from './stored-keyring.ts'
import { storeKeeper } from './store-keeper.ts'
import { type AgentLock } from './store-lock.ts'

/** A keyring with its plain seal keys, as a change needs and gives them. */
export interface Unlocked {
  readonly keyring: Keyring
  /** Hold the key of the current generation. */
  readonly sealKeys: SealKeys
}

/** What a change makes of it. */
export interface Changed extends Unlocked {
  /** Seals that must open all their records in it, beside that some seal opens it: those that got new ones. */
  readonly provenBy?: readonly ConfiguredSeal[]
}

/** Makes the next keyring. The keys it is given stay the caller's; those it returns may share them and are wiped as well. */
export type KeyringChange = (unlocked: Unlocked, signal: AbortSignal) => Changed | Promise<Changed>

/** The keyring of this node: held open in memory, kept in the store, and united with whatever other nodes know. */
export interface Custody {
  readonly holder: Keyholder<OpenKeyring>
  /** Learns from the bytes of a keyring that came from outside. What it makes of them shows in what is held. */
  readonly absorb: (bytes: Uint8Array, signal: AbortSignal) => Promise<void>
  /**
   * Changes the keyring: a seal gives the plain keys for a moment, the result is written to the store and opened from
   * there by a seal, and only then used. Changes happen one after another. Killed anywhere, the store has the old keyring or the new.
   *
   * @returns What is held then: the result, united with what was learned meanwhile.
   * @throws {CustodyError} `CUSTODY_SEALED`; {@link KeyringError}, {@link StoreError}; what `change` throws.
   */
  change(change: KeyringChange, signal: AbortSignal): Promise<OpenKeyring>
  /** Ends the keeping: what is held is closed. */
  close(): void
}

export type CustodyErrorCode =
  /** No seal of this node gives the seal key now. */
  'CUSTODY_SEALED'

export class CustodyError extends Error {
  override readonly name = 'CustodyError'
  readonly code: CustodyErrorCode

  constructor(code: CustodyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Whether both have a record of the same member of the same seal. */
function haveMemberInCommon(one: Keyring, other: Keyring): boolean {
  return one.records.some(record => findRecords(other, record).length > 0)
}

export interface CustodyDependencies {
  readonly storePath: string
  readonly lock: AgentLock
  /** The cluster that this node belongs to, 16 bytes, if the configuration says. */
  readonly clusterId: Uint8Array | undefined
  /** Those of the configuration that are not disabled, as it is now. */
  readonly seals: () => readonly ConfiguredSeal[]
  readonly metrics: AgentMetrics
  readonly report: AgentReporter
  readonly log: Logger
  /** What is held is not what it was. */
  readonly onChanged: () => void
  /** Ends with the agent. */
  readonly signal: AbortSignal
}

export function keyringCustody(dependencies: CustodyDependencies): Custody {
  const { storePath, lock, clusterId, seals, metrics, report, log, onChanged, signal } = dependencies
  /** The newest keyring that came with a blob while none was held. */
  let offered: Keyring | undefined
  const inLine = createLine()

  const named = (sealName: string): ConfiguredSeal => {
    const seal = seals().find(({ name }) => name === sealName)
    if (seal !== undefined) return seal
    throw new CustodyError('CUSTODY_SEALED', `the seal ${sealName} is not configured any more`)
  }

  const holder: Keyholder<OpenKeyring> = createKeyholder<OpenKeyring>({
    seals: () =>
      seals().map(seal => ({
        name: seal.name,
        priority: seal.priority,
        open: async openSignal => {
          await lock.ensure(openSignal)
          const opened = await openThrough(seal, await storedOr(storePath, offered), openSignal)
          try {
            // Whoever writes the store, or poses as a leader, could have made up one that a public key alone has wrapped.
            assertOrigin(opened, clusterId)
            return opened
          } catch (error) {
            opened.close()
            throw error
          }
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
    },
    onOpened({ key, sealName }) {
      const { number: generation, keyId } = key.current
      metrics.setOpen(true, generation)
      const sinceProcessStartMs = Math.round(performance.now())
      log.info({ seal: sealName, keyId, generation, sinceProcessStartMs }, 'keyring opened')
      void keepLater()
      onChanged()
    },
    onProbeBroken(error) {
      report.internalFailure('probing the seals', error)
    },
  })

  const merge = (keyring: Keyring | OpenKeyring): void => {
    holder.revise(held => held.mergedWith(keyring))
  }

  const keeper = storeKeeper({
    path: storePath,
    held: () => holder.held()?.key,
    merge,
    prove: (keyring, proveSignal) => proveThroughAny(seals(), keyring, proveSignal),
    onKept: ({ revision }) => {
      log.info({ revision }, 'keyring stored')
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
    const sealKeys = await holder.ask((name, askSignal) => unwrapThrough(named(name), keyring, askSignal), callSignal)
    if (sealKeys !== undefined) return sealKeys
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node gives the seal key now: see sealctl status')
  }

  /** Opens a keyring that is generations ahead of what is held: by its links, or by a record of this node in it. */
  const openAhead = async (keyring: Keyring, callSignal: AbortSignal): Promise<boolean> => {
    const base = holder.held()?.key
    if (base === undefined) return false
    try {
      using sealKeys = await unlock(base.keyring, callSignal)
      using theirs = followSealKeys({ keyring, sealKeys })
      using next = OpenKeyring.from(keyring, theirs)
      merge(next)
      return true
    } catch (error) {
      // After a break of the chain only a record leads on. No seal is asked in vain: it would count as its failure.
      const isOutOfReach = hasErrorCode(error, 'KEYRING_LINK_BROKEN', 'KEYRING_OTHER_KEY')
      if (!isOutOfReach || !haveMemberInCommon(base.keyring, keyring)) throw error
      return await holder.bring((name, attemptSignal) => openThrough(named(name), keyring, attemptSignal), callSignal)
    }
  }

  const apply = async (change: KeyringChange, callSignal: AbortSignal): Promise<OpenKeyring> => {
    const base = holder.held()?.key
    if (base === undefined)
      throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
    using sealKeys = await unlock(base.keyring, callSignal)
    const changed = await change({ keyring: base.keyring, sealKeys }, callSignal)
    using changedKeys = changed.sealKeys
    if (changed.keyring !== base.keyring) {
      using next = OpenKeyring.from(changed.keyring, changedKeys)
      const { provenBy = [] } = changed
      await keeper.keep(callSignal, {
        keyring: next,
        prove: async (readBack, proveSignal) => {
          for (const seal of provenBy) await proveThrough(seal, readBack, proveSignal)
        },
      })
      merge(next)
    }
    return holder.held()?.key ?? base
  }

  return {
    holder,
    absorb: keyringAbsorber({
      held: () => holder.held()?.key,
      merge,
      open: openAhead,
      offer: keyring => {
        offered = keyring
      },
      onLearned: ({ revision }) => {
        log.info({ revision }, 'keyring learned from another node')
      },
      onRefused: error => {
        report.keyringRefused(error)
      },
    }),
    change: (change, callSignal) => inLine(() => apply(change, callSignal)),
    close() {
      holder.held()?.key.close()
    },
  }
}
