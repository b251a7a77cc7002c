import { createHash, randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { createShareSet } from '../create-share-set.ts'
import { ShamirError, type ShamirErrorCode } from '../shamir-error.ts'
import { readShareSet, type ShareSet } from '../share-set.ts'
import { type Share } from '../share.ts'

/** A signal that nobody raises. */
export const signal: AbortSignal = new AbortController().signal

/** 16 bytes that follow from `name`. */
export function idOf(name: string): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(name).digest().subarray(0, 16))
}

/** Bytes that stay, of a secret. */
export function bytesOf(secret: Secret): Uint8Array {
  return secret.reveal(bytes => Uint8Array.from(bytes))
}

/** A secret with its own copy of the bytes. */
export function secretOf(bytes: Uint8Array): Secret {
  return new Secret(Uint8Array.from(bytes))
}

/** The same share with its own value: what takes ownership of it leaves the first one. */
export function copyOf(share: Share, change: Partial<Share> = {}): Share {
  return { ...share, value: share.value.clone(), ...change }
}

/** A share whose value has one bit flipped. */
export function forged(share: Share): Share {
  const value = bytesOf(share.value)
  value[31] = (value[31] ?? 0) ^ 1
  return { ...share, value: new Secret(value) }
}

/** A share set as the keyring has it, and its shares. */
export interface Sample {
  readonly set: ShareSet
  readonly shares: readonly Share[]
}

/** A new share set of this seal of this cluster. */
export function sampleSet(threshold: number, count: number, sealName = 'people', cluster = 'cluster'): Sample {
  const clusterId = idOf(cluster)
  const { shares, ...member } = createShareSet({ clusterId, threshold, shares: count, randomBytes })
  return { set: readShareSet({ clusterId, member: { ...member, sealId: idOf(sealName) } }), shares }
}

/** One of a list that has it. */
export function at<T>(values: readonly T[], position: number): T {
  const value = values[position]
  if (value === undefined) throw new RangeError(`nothing at ${position}`)
  return value
}

/** The bytes with one bit flipped; each bit in turn. */
export function* flips(bytes: Uint8Array): Generator<{ readonly flipped: Uint8Array; readonly offset: number }> {
  for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
    const flipped = Uint8Array.from(bytes)
    const offset = Math.floor(bit / 8)
    flipped[offset] = (flipped[offset] ?? 0) ^ (1 << (bit % 8))
    yield { flipped, offset }
  }
}

/** What `action` throws, which must be ours. */
export function errorOf(action: () => unknown): ShamirError {
  try {
    action()
  } catch (error) {
    if (error instanceof ShamirError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** The code of what `action` throws. */
export function codeOf(action: () => unknown): ShamirErrorCode {
  return errorOf(action).code
}
