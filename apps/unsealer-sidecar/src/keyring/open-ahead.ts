import { EnvelopeError } from '@sealwright/envelope'
import {
  followSealKeys,
  type Keyring,
  KeyringError,
  leadsToCurrent,
  OpenKeyring,
  type OpenOptions,
  type SealKeys,
} from '@sealwright/keyring'
import { hasErrorCode } from '@sealwright/system-error'
import { type AbsorberDependencies } from './absorb.ts'
import { CustodyError } from './custody-error.ts'
import { type Keyholder } from './keyholder.ts'
import { type NodeOpeners } from './node-openers.ts'
import { ownRecords } from './own-records.ts'
import { type Arrival } from './ways-in.ts'

export interface AheadOpenerDependencies {
  readonly holder: Keyholder<OpenKeyring>
  readonly openers: NodeOpeners
  /** The plain keys of a keyring, from a seal. */
  readonly unlock: (keyring: Keyring, signal: AbortSignal) => Promise<SealKeys>
  readonly merge: (keyring: OpenKeyring, arrival: Arrival) => void
  readonly clusterId: () => Uint8Array | undefined
  readonly opening: OpenOptions
}

/** Opens keyrings that are generations ahead of what is held: by their links, or by a record of this node in them. */
export function aheadOpener({
  holder,
  openers,
  unlock,
  merge,
  clusterId,
  opening,
}: AheadOpenerDependencies): AbsorberDependencies['open'] {
  const hasWayInForUs = (keyring: Keyring): boolean =>
    [...openers.ourMembers.keys()].some(sealName =>
      leadsToCurrent(keyring, ownRecords(openers.ourMembers, keyring, sealName)),
    )

  const openByOurRecord = async (keyring: Keyring, signal: AbortSignal): Promise<boolean> => {
    let fault: Error | undefined
    const outcome = await holder.bring(async (name, attemptSignal) => {
      try {
        return await openers.open(name, keyring, attemptSignal)
      } catch (error) {
        if (error instanceof KeyringError || error instanceof EnvelopeError) fault ??= error
        throw error
      }
    }, signal)
    if (outcome.kind === 'opened') return true
    const { failures } = outcome
    // Nobody to ask now, or somebody who may answer later.
    if (failures.length === 0 || failures.some(({ kind }) => kind === 'transient')) return false
    // It opened, and contradicts what is held, or does not fit.
    for (const code of ['KEYRING_DIVERGED', 'KEYRING_NO_ROOM'] as const) {
      const refused = failures.find(failure => failure.code === code)
      if (refused !== undefined) throw new KeyringError(code, refused.message)
    }
    if (clusterId() === undefined && failures.some(({ code }) => code === 'TPM_METHOD_REFUSED')) {
      throw new KeyringError(
        'KEYRING_ORIGIN_UNPROVEN',
        'another node has made the record of this node in it, which anybody could: such a one is taken only where node.yaml says which ' +
          'cluster this is: state clusterId there, then SIGHUP',
      )
    }
    throw (
      fault ?? new KeyringError('KEYRING_NO_WAY_IN', 'no seal of this node opens the keyring that came from outside')
    )
  }

  return async (keyring, arrival, signal) => {
    const base = holder.held()?.key
    if (base === undefined) return false
    try {
      using sealKeys = await unlock(base.keyring, signal)
      using theirs = followSealKeys({ keyring, sealKeys })
      using next = OpenKeyring.from(keyring, theirs, opening)
      merge(next, arrival)
      return true
    } catch (error) {
      // After a break of the chain only a record of ours leads on. No seal is asked in vain.
      // So it is, too, where no seal gives the keys of what is held: somebody may have planted what keeps them from it.
      const isOutOfReach = hasErrorCode(error, 'KEYRING_LINK_BROKEN', 'KEYRING_OTHER_KEY', 'CUSTODY_SEALED')
      if (!isOutOfReach || !hasWayInForUs(keyring)) throw error
      // A seal that opens now, opens it: this node keeps a way in.
      const isOpened = await openByOurRecord(keyring, signal)
      if (!isOpened && error instanceof CustodyError) throw error
      return isOpened
    }
  }
}
