import { rebuildPrivateKey } from './rebuild.ts'
import { ShamirError } from './shamir-error.ts'
import { assertShareOf, type NamedShareSet, type ShareSet } from './share-set.ts'
import { type Share } from './share.ts'

/** What a rehearsal says of one share that was brought. */
export type ShareVerdict =
  | { readonly index: number; readonly kind: 'good' }
  | { readonly index: number; readonly kind: 'bad'; readonly error: ShamirError }

/** What came of a rehearsal. Nothing in it is secret, and no key is left. */
export interface Rehearsal {
  /** In the order in which the shares were brought; a repeated one is bad. */
  readonly verdicts: readonly ShareVerdict[]
  /** How many different good shares there are. */
  readonly good: number
  readonly threshold: number
  readonly outcome:
    | { readonly kind: 'proven' } // the good shares rebuilt the private key of this set
    | { readonly kind: 'too-few'; readonly missing: number } // so many more good shares are needed
    | { readonly kind: 'failed'; readonly error: ShamirError } // `SHAMIR_KEY_MISMATCH`
}

/**
 * Checks that a quorum of shares is there and right, and opens nothing: it rebuilds the private key, compares its public half
 * with the wrapping key, and wipes it.
 *
 * @param input.shares - wiped, all of them, whatever comes of it.
 */
export function rehearse(input: {
  readonly set: ShareSet
  readonly shares: readonly Share[]
  readonly others?: readonly NamedShareSet[]
}): Rehearsal {
  const { set, shares, others = [] } = input
  try {
    const good = new Map<number, Share>()
    const verdicts = shares.map((share): ShareVerdict => {
      const error = findFault(set, share, others, good)
      if (error !== undefined) return { index: share.index, kind: 'bad', error }
      good.set(share.index, share)
      return { index: share.index, kind: 'good' }
    })
    return { verdicts, good: good.size, threshold: set.threshold, outcome: prove(set, [...good.values()]) }
  } finally {
    for (const { value } of shares) value.wipe()
  }
}

function findFault(
  set: ShareSet,
  share: Share,
  others: readonly NamedShareSet[],
  good: ReadonlyMap<number, Share>,
): ShamirError | undefined {
  try {
    assertShareOf(set, share, others)
  } catch (error) {
    if (error instanceof ShamirError) return error
    throw error
  }
  if (!good.has(share.index)) return undefined
  return new ShamirError('SHAMIR_SHARE_REPEATED', `share ${share.index} was brought before`, { index: share.index })
}

function prove(set: ShareSet, shares: readonly Share[]): Rehearsal['outcome'] {
  if (shares.length < set.threshold) return { kind: 'too-few', missing: set.threshold - shares.length }
  try {
    rebuildPrivateKey(set, shares).wipe()
    return { kind: 'proven' }
  } catch (error) {
    if (error instanceof ShamirError) return { kind: 'failed', error }
    throw error
  }
}
