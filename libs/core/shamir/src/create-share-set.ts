import { Secret } from '@sealwright/secret'

import { ID_BYTES } from '@sealwright/keyring'

import { shamirMemberId } from './seal-member.ts'
import { assertThreshold, combinePoints, type RandomBytes, splitSecret } from './secret-sharing.ts'
import { ShamirError } from './shamir-error.ts'
import { assertShareOf, checkValueOf, encodeCheckValues, readShareSet, type ShareSet } from './share-set.ts'
import { encodeShare, parseShare } from './share-text.ts'
import { type Share } from './share.ts'
import { rebuildPrivateKey } from './rebuild.ts'
import { X_WING_SEED_BYTES, xWingPublicKey } from './x-wing.ts'

/** A new share set: the public part for the keyring, the shares for people. */
export interface CreatedShareSet {
  /** 1,216 bytes, for the member's `wrappingKey`. */
  readonly wrappingKey: Uint8Array
  /** 16 bytes, for the member's `memberId`. */
  readonly memberId: Uint8Array
  /** Check values, for the member's `data`: 7 + 32 × shares bytes. */
  readonly data: Uint8Array
  /** In order of index. The caller hands them out, and wipes each value. */
  readonly shares: readonly Share[]
}

/**
 * Makes a key pair whose private half exists in shares alone.
 *
 * Nothing is returned before it is proven: each share is written as text, read back, checked, and takes part in rebuilding the
 * private key together with others drawn at random.
 *
 * @param input.clusterId - 16 bytes, as the keyring says it; each share carries it.
 * @param input.threshold - 2 to `shares`: how many people it takes.
 * @param input.shares - up to 255.
 * @throws {@link ShamirError} `SHAMIR_INPUT_INVALID`, `SHAMIR_SET_UNPROVEN`.
 */
export function createShareSet(input: {
  readonly clusterId: Uint8Array
  readonly threshold: number
  readonly shares: number
  readonly randomBytes: RandomBytes
}): CreatedShareSet {
  const { clusterId, threshold, shares: count, randomBytes } = input
  assertThreshold(threshold, count)
  if (clusterId.byteLength !== ID_BYTES) {
    throw new ShamirError('SHAMIR_INPUT_INVALID', `cluster id of ${clusterId.byteLength} bytes, not ${ID_BYTES}`)
  }
  using seed = new Secret(randomBytes(X_WING_SEED_BYTES))
  if (seed.byteLength !== X_WING_SEED_BYTES) {
    throw new ShamirError('SHAMIR_INPUT_INVALID', `the random source gave ${seed.byteLength} bytes`)
  }
  const wrappingKey = xWingPublicKey(seed)
  const memberId = shamirMemberId(wrappingKey)
  const shares = splitSecret({ secret: seed, threshold, shares: count, randomBytes }).map((value, position): Share => ({
    clusterId: Uint8Array.from(clusterId),
    memberId,
    threshold,
    shares: count,
    index: position + 1,
    value,
  }))
  const data = encodeCheckValues({ threshold, shares: count, checkValues: shares.map(checkValueOf) })
  const member = { sealId: new Uint8Array(ID_BYTES), memberId, wrappingKey, data }
  try {
    proveShares({ set: readShareSet({ clusterId, member }), shares, randomBytes })
  } catch (error) {
    for (const { value } of shares) value.wipe()
    throw error
  }
  return { wrappingKey, memberId, data, shares }
}

/**
 * Proves that a set can be used: every share, as it will be typed, in a quorum that rebuilds the private key.
 *
 * @throws {@link ShamirError} `SHAMIR_SET_UNPROVEN`.
 */
export function proveShares(input: {
  readonly set: ShareSet
  readonly shares: readonly Share[]
  readonly randomBytes: RandomBytes
}): void {
  const { set, shares, randomBytes } = input
  const typed: Share[] = []
  let first: Secret | undefined
  try {
    for (const share of shares) typed.push(asTyped(share))
    for (const share of typed) assertShareOf(set, share)
    const order = shuffled(typed, randomBytes)
    first = rebuildPrivateKey(set, order)
    for (const [position, share] of order.entries()) {
      if (position < set.threshold) continue
      const others = shuffled(
        order.filter(other => other !== share),
        randomBytes,
      )
      using again = combinePoints([share, ...others.slice(0, set.threshold - 1)])
      if (!first.equals(again)) {
        throw new ShamirError('SHAMIR_KEY_MISMATCH', `share ${share.index} rebuilds another key than the first ones`)
      }
    }
  } catch (cause) {
    throw new ShamirError(
      'SHAMIR_SET_UNPROVEN',
      'the new shares did not rebuild their key, and nothing was handed out: check this machine before you try again',
      { cause },
    )
  } finally {
    first?.wipe()
    for (const { value } of typed) value.wipe()
  }
}

/** The share after its way through its text. */
function asTyped(share: Share): Share {
  using text = encodeShare(share)
  return text.reveal(parseShare)
}

/** In an order that a random byte for each decides: good enough to try different quorums, and for nothing else. */
function shuffled<T>(values: readonly T[], randomBytes: RandomBytes): readonly T[] {
  const keys = randomBytes(values.length)
  return values
    .map((value, at) => ({ value, key: keys[at] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)
}
