import { ID_BYTES } from '@sealwright/keyring'
import { allocateKeyBytes, Secret } from '@sealwright/secret'

import { textBytes } from '@sealwright/bytes'
import { hashOf } from './hash.ts'
import { isThreshold } from './secret-sharing.ts'
import { ShamirError } from './shamir-error.ts'
import { checkDigit, DIGIT_BITS, digitCode, digitValue, GROUP_DATA_DIGITS, GROUP_DIGITS } from './share-digits.ts'
import { type Share, SHARE_VALUE_BYTES } from './share.ts'

const NAME = textBytes('sw-share-')
const PREFIX = textBytes('sw-share-1-')
const CHECKSUM_DOMAIN = textBytes('sealwright shamir v1 share checksum')

const OFFSET_MEMBER_ID = ID_BYTES
const OFFSET_THRESHOLD = OFFSET_MEMBER_ID + ID_BYTES
const OFFSET_SHARES = OFFSET_THRESHOLD + 1
const OFFSET_INDEX = OFFSET_SHARES + 1
const OFFSET_VALUE = OFFSET_INDEX + 1
const OFFSET_CHECKSUM = OFFSET_VALUE + SHARE_VALUE_BYTES
const CHECKSUM_BYTES = 8
/** 75 bytes are 120 digits are 24 groups: nothing is left over anywhere. */
const PAYLOAD_BYTES = OFFSET_CHECKSUM + CHECKSUM_BYTES
const DATA_DIGITS = (PAYLOAD_BYTES * 8) / DIGIT_BITS

/** Groups of a share's text. */
export const SHARE_GROUPS = DATA_DIGITS / GROUP_DATA_DIGITS
/** Length of a share's text as it is written: 178 characters. */
export const SHARE_TEXT_BYTES = PREFIX.byteLength + SHARE_GROUPS * (GROUP_DIGITS + 1) - 1
/** More than any spelling of a share needs; what is longer is not looked at. */
export const MAX_SHARE_TEXT_BYTES = 1024

const HYPHEN = 0x2d
const CHECK_FAILED = 'its characters do not fit one another, or a group was left out before it'

/**
 * Writes a share as one line for people: `sw-share-1-` and 24 groups of 6 characters, joined by hyphens.
 *
 * @param share - stays the caller's.
 * @returns 178 ASCII characters, owned by the caller.
 * @see docs/formats/shamir-share.md §2
 */
export function encodeShare(share: Share): Secret {
  const payload = encodePayload(share)
  const text = allocateKeyBytes(SHARE_TEXT_BYTES)
  text.set(PREFIX)
  const digits = toDigits(payload)
  payload.fill(0)
  for (let group = 0; group < SHARE_GROUPS; group += 1) {
    const start = PREFIX.byteLength + group * (GROUP_DIGITS + 1)
    const data = digits.subarray(group * GROUP_DATA_DIGITS, (group + 1) * GROUP_DATA_DIGITS)
    for (const [at, digit] of data.entries()) text[start + at] = digitCode(digit)
    text[start + GROUP_DATA_DIGITS] = digitCode(checkDigit(data, group))
    if (group < SHARE_GROUPS - 1) text[start + GROUP_DIGITS] = HYPHEN
  }
  digits.fill(0)
  return new Secret(text)
}

/**
 * Reads a share as a person typed it. Capitals, `o` for 0, `i` and `l` for 1 are understood; spaces, line breaks and any number
 * of hyphens may stand between groups and at both ends.
 *
 * @param text - ASCII; stays the caller's, who wipes it. It is never made into a string.
 * @returns Owned by the caller, who wipes its value.
 * @throws {@link ShamirError} `SHAMIR_SHARE_MALFORMED`, `…_UNSUPPORTED`, `…_TRUNCATED`, `…_MISTYPED`; the last one with the group
 *   if that can be told.
 * @see docs/formats/shamir-share.md §3
 */
export function parseShare(text: Uint8Array): Share {
  if (text.byteLength > MAX_SHARE_TEXT_BYTES) throw malformed(`${text.byteLength} characters`)
  const start = text.findIndex(code => !isSeparator(code))
  const begun = start === -1 ? text.subarray(0, 0) : text.subarray(start)
  const digits = readGroups(begun.subarray(versionEnd(begun)))
  const payload = fromDigits(digits)
  digits.fill(0)
  try {
    return decodePayload(payload)
  } finally {
    payload.fill(0)
  }
}

/** Checks name and version, and gives the offset of what follows. */
function versionEnd(text: Uint8Array): number {
  const folded = text.subarray(0, PREFIX.byteLength + 2).map(code => code | (code >= 0x41 && code <= 0x5a ? 0x20 : 0))
  if (!NAME.every((code, at) => folded[at] === code)) throw malformed('it does not begin with sw-share-')
  if (PREFIX.every((code, at) => folded[at] === code)) return PREFIX.byteLength
  const [version] = /^[1-9]\d{0,2}(?=-)/.exec(String.fromCharCode(...folded.subarray(NAME.byteLength))) ?? []
  if (version === undefined) throw malformed('no version follows sw-share-')
  throw new ShamirError(
    'SHAMIR_SHARE_UNSUPPORTED',
    `a share of version ${version}, and only version 1 is known here: use a newer Sealwright`,
  )
}

/** Every data digit, each group checked as it comes: so the first group that is wrong is the one that is named. */
function readGroups(text: Uint8Array): Uint8Array {
  const digits = allocateKeyBytes(DATA_DIGITS)
  const group = allocateKeyBytes(GROUP_DIGITS)
  let place = 0
  let length = 0
  try {
    for (const code of text) {
      if (isSeparator(code)) {
        if (length !== 0) throw mistyped(place, `it has ${length} characters, not ${GROUP_DIGITS}`)
        continue
      }
      if (place === SHARE_GROUPS) throw mistyped(null, `more than ${SHARE_GROUPS} groups`)
      const value = digitValue(code)
      if (value < 0) throw mistyped(place, 'it has a character that no share has')
      group[length] = value
      length += 1
      if (length < GROUP_DIGITS) continue
      const data = group.subarray(0, GROUP_DATA_DIGITS)
      if (checkDigit(data, place) !== group[GROUP_DATA_DIGITS]) throw mistyped(place, CHECK_FAILED)
      digits.set(data, place * GROUP_DATA_DIGITS)
      place += 1
      length = 0
    }
    if (place < SHARE_GROUPS) {
      throw new ShamirError(
        'SHAMIR_SHARE_TRUNCATED',
        `the share ends in group ${place + 1} of ${SHARE_GROUPS}: type all of it`,
        { group: place + 1 },
      )
    }
    return digits
  } catch (error) {
    digits.fill(0)
    throw error
  } finally {
    group.fill(0)
  }
}

function encodePayload(share: Share): Uint8Array {
  const payload = allocateKeyBytes(PAYLOAD_BYTES)
  payload.set(share.clusterId)
  payload.set(share.memberId, OFFSET_MEMBER_ID)
  payload[OFFSET_THRESHOLD] = share.threshold
  payload[OFFSET_SHARES] = share.shares
  payload[OFFSET_INDEX] = share.index
  share.value.reveal(bytes => {
    payload.set(bytes, OFFSET_VALUE)
  })
  payload.set(checksumOf(payload), OFFSET_CHECKSUM)
  return payload
}

function decodePayload(payload: Uint8Array): Share {
  const difference = checksumOf(payload).reduce(
    (seen, byte, at) => seen | (byte ^ (payload[OFFSET_CHECKSUM + at] ?? 0)),
    0,
  )
  if (difference !== 0) throw mistyped(null, 'each group fits, but not all of them together')
  const [threshold = 0, shares = 0, index = 0] = payload.subarray(OFFSET_THRESHOLD, OFFSET_VALUE)
  if (!isThreshold(threshold, shares) || index === 0 || index > shares) {
    throw malformed(`it says that it is number ${index} of ${shares}, with a threshold of ${threshold}`)
  }
  const value = allocateKeyBytes(SHARE_VALUE_BYTES)
  value.set(payload.subarray(OFFSET_VALUE, OFFSET_CHECKSUM))
  return {
    clusterId: payload.slice(0, OFFSET_MEMBER_ID),
    memberId: payload.slice(OFFSET_MEMBER_ID, OFFSET_THRESHOLD),
    threshold,
    shares,
    index,
    value: new Secret(value),
  }
}

function checksumOf(payload: Uint8Array): Uint8Array {
  return hashOf([CHECKSUM_DOMAIN, payload.subarray(0, OFFSET_CHECKSUM)]).subarray(0, CHECKSUM_BYTES)
}

/** The bits of the bytes, first one first, five in each digit. */
function toDigits(bytes: Uint8Array): Uint8Array {
  return regroup(bytes, 8, DIGIT_BITS)
}

function fromDigits(digits: Uint8Array): Uint8Array {
  return regroup(digits, DIGIT_BITS, 8)
}

function regroup(input: Uint8Array, inputBits: number, outputBits: number): Uint8Array {
  const output = allocateKeyBytes((input.byteLength * inputBits) / outputBits)
  let pending = 0
  let pendingBits = 0
  let length = 0
  for (const value of input) {
    pending = (pending << inputBits) | value
    pendingBits += inputBits
    while (pendingBits >= outputBits) {
      pendingBits -= outputBits
      output[length] = pending >> pendingBits
      length += 1
      pending &= (1 << pendingBits) - 1
    }
  }
  return output
}

/** Hyphen, space, tab, line feed, carriage return. */
function isSeparator(code: number): boolean {
  return code === HYPHEN || code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d
}

function malformed(reason: string): ShamirError {
  return new ShamirError('SHAMIR_SHARE_MALFORMED', `this is not a share: ${reason}`)
}

/** @param place - of the group, from 0; `null` if it cannot be told. */
function mistyped(place: number | null, reason: string): ShamirError {
  if (place === null) return new ShamirError('SHAMIR_SHARE_MISTYPED', `the share is mistyped: ${reason}`)
  const group = place + 1
  return new ShamirError('SHAMIR_SHARE_MISTYPED', `group ${group} of ${SHARE_GROUPS} is mistyped: ${reason}`, { group })
}
