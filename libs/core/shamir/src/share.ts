import { type Secret } from '@sealwright/secret'

/**
 * One share, as one person keeps it. Beside the secret part it says whose it is: who opens a cluster by shares alone knows from
 * them which cluster that must be.
 */
export interface Share {
  /** 16 bytes: the cluster whose keyring lists the share set. */
  readonly clusterId: Uint8Array
  /** 16 bytes: the share set, by its public key. */
  readonly memberId: Uint8Array
  /** How many shares rebuild the private key, 2 to `shares`. */
  readonly threshold: number
  /** How many there are, up to 255. */
  readonly shares: number
  /** Which one this is, 1 to `shares`. */
  readonly index: number
  /** 32 bytes. */
  readonly value: Secret
}

/** Length of the secret part of a share, in bytes. */
export const SHARE_VALUE_BYTES = 32
