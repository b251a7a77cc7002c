import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { invert, multiply } from './gf256.ts'
import { ShamirError } from './shamir-error.ts'

/** Fewest shares that may rebuild a secret. With 1, each share would be the secret itself. */
export const MIN_THRESHOLD = 2
/** Most shares of one secret: the field has 255 elements beside 0, where the secret lies. */
export const MAX_SHARES = 255

/** Gives so many random bytes: `randomBytes` of `node:crypto`. */
export type RandomBytes = (byteLength: number) => Uint8Array

/** A point of the polynomials: their values at `index`. */
export interface Point {
  /** 1 to 255. */
  readonly index: number
  /** As long as the secret. */
  readonly value: Secret
}

/**
 * Splits a secret by Shamir's scheme: byte by byte, each with a random polynomial over GF(2^8) of degree `threshold - 1`
 * whose value at 0 is the byte.
 *
 * @param input.secret - stays the caller's.
 * @returns The values at 1 to `shares`, in this order, owned by the caller.
 * @throws {@link ShamirError} `SHAMIR_INPUT_INVALID` unless 2 <= threshold <= shares <= 255.
 */
export function splitSecret(input: {
  readonly secret: Secret
  readonly threshold: number
  readonly shares: number
  readonly randomBytes: RandomBytes
}): readonly Secret[] {
  const { secret, threshold, shares, randomBytes } = input
  assertThreshold(threshold, shares)
  const byteLength = secret.byteLength
  using coefficients = new Secret(randomBytes(byteLength * (threshold - 1)))
  if (coefficients.byteLength !== byteLength * (threshold - 1)) {
    throw new ShamirError('SHAMIR_INPUT_INVALID', `the random source gave ${coefficients.byteLength} bytes`)
  }
  return secret.reveal(lowest =>
    coefficients.reveal(higher =>
      Array.from({ length: shares }, (_, position) => {
        const value = allocateKeyBytes(byteLength)
        for (let at = 0; at < byteLength; at += 1) {
          let sum = 0
          for (let degree = threshold - 1; degree > 0; degree -= 1) {
            sum = multiply(sum ^ (higher[(degree - 1) * byteLength + at] ?? 0), position + 1)
          }
          value[at] = sum ^ (lowest[at] ?? 0)
        }
        return new Secret(value)
      }),
    ),
  )
}

/**
 * Rebuilds a secret: interpolates each byte at 0. Fewer points than the threshold, or a wrong one, give another secret and
 * no error: whoever calls this checks the result.
 *
 * @param points - 2 to 255, of different indexes and one length; they stay the caller's.
 * @returns Owned by the caller.
 * @throws {@link ShamirError} `SHAMIR_INPUT_INVALID`.
 */
export function combinePoints(points: readonly Point[]): Secret {
  const indexes = points.map(({ index }) => index)
  const byteLength = points[0]?.value.byteLength ?? 0
  const fits = points.every(({ index, value }) => isIndex(index) && value.byteLength === byteLength)
  if (points.length < MIN_THRESHOLD || new Set(indexes).size !== points.length || !fits || byteLength === 0) {
    throw new ShamirError('SHAMIR_INPUT_INVALID', 'a secret is rebuilt from 2 or more shares of different index')
  }
  const secret = allocateKeyBytes(byteLength)
  for (const { index, value } of points) {
    const weight = weightAtZero(index, indexes)
    value.reveal(bytes => {
      for (const [at, byte] of bytes.entries()) secret[at] = (secret[at] ?? 0) ^ multiply(weight, byte)
    })
  }
  return new Secret(secret)
}

/** @throws {@link ShamirError} `SHAMIR_INPUT_INVALID` unless 2 <= threshold <= shares <= 255. */
export function assertThreshold(threshold: number, shares: number): void {
  if (isThreshold(threshold, shares)) return
  throw new ShamirError(
    'SHAMIR_INPUT_INVALID',
    `${threshold} of ${shares} shares: choose ${MIN_THRESHOLD} <= threshold <= shares <= ${MAX_SHARES}`,
  )
}

/** Whether 2 <= threshold <= shares <= 255, all of them whole. */
export function isThreshold(threshold: number, shares: number): boolean {
  return isIndex(threshold) && isIndex(shares) && threshold >= MIN_THRESHOLD && threshold <= shares
}

function isIndex(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= MAX_SHARES
}

/** The Lagrange polynomial of one index among several, at 0. Indexes are public. */
function weightAtZero(index: number, indexes: readonly number[]): number {
  return indexes
    .filter(other => other !== index)
    .reduce((weight, other) => multiply(weight, multiply(other, invert(other ^ index))), 1)
}
