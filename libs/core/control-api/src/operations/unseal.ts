import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { nonce, sealName } from '../request-fields.ts'
import { ceremoniesView, ceremonyView, rehearsalView, resetView } from '../views/ceremony.ts'

/** Longest text of a share, in bytes: docs/formats/shamir-share.md §3. */
export const MAX_SHARE_BYTES = 1_024
const MAX_SHARES = 255

const SHARE_REFUSALS = [
  'CUSTODY_SEALED',
  'OPERATION_SEAL_UNKNOWN',
  'SHAMIR_OTHER_CLUSTER',
  'SHAMIR_OTHER_SEAL',
  'SHAMIR_OTHER_SET',
  'SHAMIR_SHARE_MALFORMED',
  'SHAMIR_SHARE_MISTYPED',
  'SHAMIR_SHARE_REPEATED',
  'SHAMIR_SHARE_TRUNCATED',
  'SHAMIR_SHARE_UNSUPPORTED',
  'SHAMIR_SHARE_WRONG',
] as const

const WHICH_SEAL = 'Without a name it is the Shamir seal called `default`, else the one of the best priority.'

/** Opening by shares. Shares travel as bytes, never in JSON: a string cannot be wiped. */
export const UNSEAL_OPERATIONS = {
  ceremonies: {
    method: 'GET',
    path: '/v1/sys/unseal',
    summary: 'How far the collecting of shares is, for each set of shares.',
    answer: { kind: 'json', schema: ceremoniesView },
    refusals: [],
  },
  enterShare: {
    method: 'POST',
    path: '/v1/sys/unseal',
    summary: 'Enters one share. With the last one that is needed the keyring is opened.',
    description: `${WHICH_SEAL} The nonce says which attempt the share is meant for: leave it out for the first.`,
    query: v.strictObject({ seal: v.optional(sealName), nonce: v.optional(nonce) }),
    body: { kind: 'secret', maxBytes: MAX_SHARE_BYTES, what: 'the share as its card has it' },
    answer: { kind: 'json', schema: ceremonyView },
    refusals: [...SHARE_REFUSALS, 'SHAMIR_NONCE_MISMATCH', 'SHAMIR_CEREMONY_OVER', 'SHAMIR_KEY_MISMATCH'],
  },
  resetShares: {
    method: 'POST',
    path: '/v1/sys/unseal/reset',
    summary: 'Forgets the shares that are in, and begins anew.',
    description: WHICH_SEAL,
    body: { kind: 'json', schema: v.strictObject({ seal: v.optional(sealName) }) },
    answer: { kind: 'json', schema: resetView },
    refusals: ['OPERATION_SEAL_UNKNOWN'],
  },
  rehearse: {
    method: 'POST',
    path: '/v1/sys/rehearse',
    summary: 'Checks that shares are right and enough, and opens nothing.',
    description: WHICH_SEAL,
    query: v.strictObject({ seal: v.optional(sealName) }),
    body: { kind: 'secrets', maxBytes: MAX_SHARE_BYTES, maxLines: MAX_SHARES, what: 'the shares, one a line' },
    answer: { kind: 'json', schema: rehearsalView },
    refusals: SHARE_REFUSALS,
  },
} as const satisfies Readonly<Record<string, Operation>>
