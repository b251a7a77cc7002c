import { hostname } from 'node:os'
import { type ConfiguredSeal, mayNeedTending, tendSeals } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealFailure } from '@sealwright/unseal'
import { type Bell } from '../bell.ts'
import { type Custody } from './custody.ts'

export interface TendingDependencies {
  readonly custody: Custody
  /** Those that are not disabled, as the configuration is now. */
  readonly seals: () => readonly ConfiguredSeal[]
  /** Names of seals that have new records. */
  readonly onRenewed: (sealNames: readonly string[]) => void
  /** Told after each round: why seals could not be looked after, by name; empty if all is well. */
  readonly onLookedAfter: (failures: ReadonlyMap<string, SealFailure>) => void
}

/**
 * Looks after the seals whenever something has changed, and at each interval, until `signal` is aborted.
 */
export async function keepTending(
  dependencies: TendingDependencies & {
    /** Rung when there may be something to do. */
    readonly bell: Bell
    readonly intervalMs: number
    /** Nothing that a seal or the store does: a bug. */
    readonly onBroken: (error: unknown) => void
  },
  signal: AbortSignal,
): Promise<void> {
  const { bell, intervalMs, onBroken } = dependencies
  for (;;) {
    await bell.wait(intervalMs, signal)
    try {
      await tendOnce(dependencies, signal)
    } catch (error) {
      signal.throwIfAborted()
      onBroken(error)
    }
  }
}

/**
 * Gives the seals of this node the records that they lack, and new ones for those that do not open any more, where the seal opens by
 * its record in the store. Nothing is asked of a device unless something may be missing.
 *
 * @throws as `Custody.change`.
 */
export async function tendOnce(dependencies: TendingDependencies, signal: AbortSignal): Promise<void> {
  const { custody, seals, onRenewed, onLookedAfter } = dependencies
  const held = custody.holder.held()?.key
  if (held === undefined) return
  const renew = custody.toRenew()
  if (renew.size === 0 && !mayNeedTending(held.keyring, seals(), held.keyIds)) {
    onLookedAfter(new Map())
    return
  }
  let names: readonly string[] = []
  let failures: ReadonlyMap<string, SealFailure> = new Map()
  await custody.change(async ({ keyring, sealKeys }, changeSignal) => {
    const tended = await tendSeals({
      ...{ keyring, sealKeys, seals: seals(), label: hostname(), now: Date.now },
      randomBytes: randomKeyBytes,
      signal: changeSignal,
    })
    failures = tended.failures
    names = tended.renewed
    return {
      keyring: tended.keyring,
      sealKeys,
      provenBy: seals().filter(({ name }) => tended.renewed.includes(name)),
    }
  }, signal)
  onLookedAfter(failures)
  // Whatever was not stored because of them is stored now.
  const putBack = custody.toRenew().size === 0 ? [...renew].filter(name => !names.includes(name)) : []
  if (names.length + putBack.length > 0) onRenewed([...putBack, ...names])
}
