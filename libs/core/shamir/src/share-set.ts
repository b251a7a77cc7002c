import { type Member } from '@sealwright/keyring'

import { hex, sameBytes, textBytes } from '@sealwright/bytes'
import { hashOf } from './hash.ts'
import { shamirMemberId } from './seal-member.ts'
import { isThreshold, MAX_SHARES } from './secret-sharing.ts'
import { ShamirError } from './shamir-error.ts'
import { type Share } from './share.ts'

/** ASCII `SWSC`. */
const MAGIC = Uint8Array.of(0x53, 0x57, 0x53, 0x43)
const VERSION = 1

const OFFSET_VERSION = MAGIC.byteLength
const OFFSET_THRESHOLD = OFFSET_VERSION + 1
const OFFSET_SHARES = OFFSET_THRESHOLD + 1
const OFFSET_CHECK_VALUES = OFFSET_SHARES + 1
const CHECK_VALUE_BYTES = 32
const CHECK_VALUE_DOMAIN = textBytes('sealwright shamir v1 check value')

/** Longest data of a share set, in bytes: 8,167. A keyring takes 8,192. */
export const MAX_SHARE_SET_DATA_BYTES = OFFSET_CHECK_VALUES + MAX_SHARES * CHECK_VALUE_BYTES

/** What the keyring says of one share set, checked as far as it can be without a share. Nothing in it is secret. */
export interface ShareSet {
  /** 16 bytes. */
  readonly clusterId: Uint8Array
  /** 16 bytes. */
  readonly sealId: Uint8Array
  /** 16 bytes, a hash of the wrapping key. */
  readonly memberId: Uint8Array
  /** 1,216 bytes. */
  readonly wrappingKey: Uint8Array
  readonly threshold: number
  readonly shares: number
  /** 32 bytes for each share, in order of index. */
  readonly checkValues: readonly Uint8Array[]
}

/**
 * Reads the share set that a member of a keyring is.
 *
 * @returns Views into the member's fields, not copies.
 * @throws {@link ShamirError} `SHAMIR_SET_MALFORMED` or `SHAMIR_SET_UNSUPPORTED`.
 * @see docs/formats/shamir-share.md §4
 */
export function readShareSet(input: {
  readonly clusterId: Uint8Array
  readonly member: Pick<Member, 'sealId' | 'memberId' | 'wrappingKey' | 'data'>
}): ShareSet {
  const { clusterId, member } = input
  const { sealId, memberId, wrappingKey, data } = member
  let expected: Uint8Array
  try {
    expected = shamirMemberId(wrappingKey)
  } catch (cause) {
    throw malformed('its wrapping key is none', { cause })
  }
  if (!sameBytes(expected, memberId)) throw malformed(`its wrapping key gives the member id ${hex(expected)}`)
  return { clusterId, sealId, memberId, wrappingKey, ...parseCheckValues(data) }
}

/** The data of a share set: SWSC ‖ version ‖ threshold ‖ shares ‖ a check value (32) for each share, in order of index. */
export function encodeCheckValues(set: Pick<ShareSet, 'threshold' | 'shares' | 'checkValues'>): Uint8Array {
  const data = new Uint8Array(OFFSET_CHECK_VALUES + set.checkValues.length * CHECK_VALUE_BYTES)
  data.set(MAGIC)
  data.set([VERSION, set.threshold, set.shares], OFFSET_VERSION)
  for (const [position, value] of set.checkValues.entries()) {
    data.set(value, OFFSET_CHECK_VALUES + position * CHECK_VALUE_BYTES)
  }
  return data
}

/** What recognises a share without telling it, 32 bytes. Bound to everything that the share says of itself. */
export function checkValueOf({ clusterId, memberId, threshold, shares, index, value }: Share): Uint8Array {
  return value.reveal(bytes =>
    hashOf([CHECK_VALUE_DOMAIN, clusterId, memberId, Uint8Array.of(threshold, shares, index), bytes]),
  )
}

/** A share set as people call it, to say of a stray share where it belongs. */
export interface NamedShareSet {
  /** 16 bytes. */
  readonly sealId: Uint8Array
  /** 16 bytes. */
  readonly memberId: Uint8Array
  readonly sealName: string
  readonly label: string
}

/**
 * Refuses a share that is not the one of its index that was handed out for this set.
 *
 * @param others - the other share sets of the cluster.
 * @throws {@link ShamirError} `SHAMIR_OTHER_CLUSTER`, `SHAMIR_OTHER_SEAL`, `SHAMIR_OTHER_SET`, `SHAMIR_SHARE_WRONG`; the last one
 *   names the index.
 */
export function assertShareOf(set: ShareSet, share: Share, others: readonly NamedShareSet[] = []): void {
  if (!sameBytes(share.clusterId, set.clusterId)) {
    throw new ShamirError(
      'SHAMIR_OTHER_CLUSTER',
      `this share is of the cluster ${hex(share.clusterId)}, and this one is ${hex(set.clusterId)}`,
    )
  }
  if (!sameBytes(share.memberId, set.memberId)) throw otherSet(set, share, others)
  const expected = set.checkValues[share.index - 1]
  const agrees = share.threshold === set.threshold && share.shares === set.shares
  if (agrees && expected !== undefined && sameBytes(checkValueOf(share), expected)) return
  throw new ShamirError(
    'SHAMIR_SHARE_WRONG',
    `share ${share.index} is not the one that was handed out: it was changed or made up, or the keyring was changed`,
    { index: share.index },
  )
}

function otherSet(set: ShareSet, { memberId }: Share, others: readonly NamedShareSet[]): ShamirError {
  const other = others.find(named => sameBytes(named.memberId, memberId))
  if (other === undefined) {
    return new ShamirError(
      'SHAMIR_OTHER_SET',
      `this share is of the set ${hex(memberId)}, which this cluster does not use now; it waits for the set ${hex(set.memberId)}`,
    )
  }
  const whose = `this share is of the set ${other.label} of the seal ${other.sealName}`
  return sameBytes(other.sealId, set.sealId)
    ? new ShamirError('SHAMIR_OTHER_SET', `${whose}, and shares of another set of this seal are being collected`)
    : new ShamirError('SHAMIR_OTHER_SEAL', `${whose}, and shares of another seal are being collected`)
}

function parseCheckValues(data: Uint8Array): Pick<ShareSet, 'threshold' | 'shares' | 'checkValues'> {
  if (!MAGIC.every((byte, index) => data[index] === byte)) throw malformed('its data does not begin with SWSC')
  const [version, threshold = 0, shares = 0] = data.subarray(OFFSET_VERSION, OFFSET_CHECK_VALUES)
  if (version === undefined || version === 0) throw malformed('its data has no version')
  if (version !== VERSION) {
    throw new ShamirError('SHAMIR_SET_UNSUPPORTED', `data of a share set in the unknown version ${version}`)
  }
  if (!isThreshold(threshold, shares)) throw malformed(`it says ${threshold} of ${shares} shares`)
  const expectedBytes = OFFSET_CHECK_VALUES + shares * CHECK_VALUE_BYTES
  if (data.byteLength !== expectedBytes) {
    throw malformed(`its data has ${data.byteLength} bytes, and ${shares} shares need ${expectedBytes}`)
  }
  return {
    threshold,
    shares,
    checkValues: Array.from({ length: shares }, (_, position) => {
      const start = OFFSET_CHECK_VALUES + position * CHECK_VALUE_BYTES
      return data.subarray(start, start + CHECK_VALUE_BYTES)
    }),
  }
}

function malformed(reason: string, options?: ErrorOptions): ShamirError {
  return new ShamirError('SHAMIR_SET_MALFORMED', `this member is no set of shares: ${reason}`, options)
}
