import { type Secret } from '@sealwright/secret'

import { rebuildPrivateKey } from './rebuild.ts'
import { ShamirError } from './shamir-error.ts'
import { assertShareOf, type NamedShareSet, type ShareSet } from './share-set.ts'
import { type Share } from './share.ts'

/** What stays the same from one attempt to the next. */
interface Purpose {
  readonly set: ShareSet
  /** The other share sets of the cluster. */
  readonly others: readonly NamedShareSet[]
}

/** Collecting shares of one set until there are enough. */
export type Ceremony = Purpose &
  (
    | { readonly kind: 'collecting'; readonly nonce: string; readonly shares: readonly Share[] }
    | {
        readonly kind: 'complete'
        readonly nonce: string
        readonly indexes: readonly number[]
        /** 32 bytes. The caller's from now on, who wipes it: no event of this ceremony does. */
        readonly privateKey: Secret
      }
    | {
        readonly kind: 'failed'
        readonly nonce: string
        readonly indexes: readonly number[]
        readonly error: ShamirError
      }
  )

/** What happens to a ceremony. */
export type CeremonyEvent =
  | {
      readonly kind: 'share'
      /** Of the attempt that the share is meant for. */
      readonly nonce: string
      /** The ceremony's from now on: it wipes the value, at once if it refuses the share. */
      readonly share: Share
    }
  | {
      readonly kind: 'reset'
      /** Of the next attempt. */
      readonly nonce: string
    }

/** Where a ceremony stands, for people: what `sys/unseal` of OpenBao shows, and which shares are in. */
export interface CeremonyStatus {
  readonly kind: Ceremony['kind']
  readonly nonce: string
  /** How many shares it takes. */
  readonly threshold: number
  /** How many there are. */
  readonly shares: number
  /** How many are in. */
  readonly progress: number
  /** Their indexes, in the order they came. */
  readonly indexes: readonly number[]
}

/**
 * Begins a ceremony: no share is in.
 *
 * @param input.nonce - text that no other attempt has: whoever brings a share says with it which attempt they saw.
 */
export function beginCeremony(input: {
  readonly set: ShareSet
  readonly nonce: string
  readonly others?: readonly NamedShareSet[]
}): Ceremony {
  return { kind: 'collecting', set: input.set, others: input.others ?? [], nonce: input.nonce, shares: [] }
}

/**
 * The ceremony after an event. The share that reaches the threshold completes it, or makes it fail; either way all shares are
 * wiped. So they are by a reset.
 *
 * @throws {@link ShamirError} for a refused share, which is wiped; `ceremony` stands as it did: `SHAMIR_NONCE_MISMATCH`,
 *   `SHAMIR_CEREMONY_OVER`, `SHAMIR_OTHER_CLUSTER`, `SHAMIR_OTHER_SEAL`, `SHAMIR_OTHER_SET`, `SHAMIR_SHARE_REPEATED`,
 *   `SHAMIR_SHARE_WRONG`.
 */
export function next(ceremony: Ceremony, event: CeremonyEvent): Ceremony {
  switch (event.kind) {
    case 'reset':
      if (ceremony.kind === 'collecting') wipeAll(ceremony.shares)
      return beginCeremony({ set: ceremony.set, others: ceremony.others, nonce: event.nonce })
    case 'share':
      try {
        return withShare(ceremony, event.nonce, event.share)
      } catch (error) {
        event.share.value.wipe()
        throw error
      }
  }
}

/** Where it stands. Nothing in it is secret. */
export function ceremonyStatus(ceremony: Ceremony): CeremonyStatus {
  const { kind, nonce, set } = ceremony
  const indexes = kind === 'collecting' ? ceremony.shares.map(({ index }) => index) : ceremony.indexes
  return { kind, nonce, threshold: set.threshold, shares: set.shares, progress: indexes.length, indexes }
}

function withShare(ceremony: Ceremony, nonce: string, share: Share): Ceremony {
  if (nonce !== ceremony.nonce) {
    throw new ShamirError(
      'SHAMIR_NONCE_MISMATCH',
      'the collecting of shares was begun anew since you looked: look at its status, and bring the share again',
    )
  }
  if (ceremony.kind !== 'collecting') {
    throw new ShamirError(
      'SHAMIR_CEREMONY_OVER',
      `the collecting of shares is ${ceremony.kind}: reset it to begin anew`,
    )
  }
  const { set, others } = ceremony
  assertShareOf(set, share, others)
  if (ceremony.shares.some(({ index }) => index === share.index)) {
    throw new ShamirError('SHAMIR_SHARE_REPEATED', `share ${share.index} is in already: bring another one`, {
      index: share.index,
    })
  }
  const shares = [...ceremony.shares, share]
  return shares.length < set.threshold ? { ...ceremony, shares } : finished({ set, others }, nonce, shares)
}

function finished(purpose: Purpose, nonce: string, shares: readonly Share[]): Ceremony {
  const indexes = shares.map(({ index }) => index)
  try {
    return { ...purpose, kind: 'complete', nonce, indexes, privateKey: rebuildPrivateKey(purpose.set, shares) }
  } catch (error) {
    if (!(error instanceof ShamirError)) throw error
    return { ...purpose, kind: 'failed', nonce, indexes, error }
  } finally {
    wipeAll(shares)
  }
}

function wipeAll(shares: readonly Share[]): void {
  for (const { value } of shares) value.wipe()
}
