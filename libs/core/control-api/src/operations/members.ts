import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { breakFields, confirm, fingerprint, label, memberId, sealName } from '../request-fields.ts'
import { enrolmentView, importView } from '../views/members.ts'
import { rotationView } from '../views/rotation.ts'
import { membersView } from '../views/seals.ts'

/** More than a keyring may have, so that the keyring itself says why it is refused. */
export const MAX_KEYRING_BODY_BYTES = 1024 * 1024
/** A storage key with its certificates needs a few kilobytes. */
export const MAX_ENROLMENT_BYTES = 64 * 1024

const KEYRING_REFUSALS = [
  'KEYRING_MALFORMED',
  'KEYRING_UNSUPPORTED',
  'KEYRING_OTHER_CLUSTER',
  'KEYRING_DIVERGED',
] as const

/** Who holds the keyring open: members, and the keyring as a file. */
export const MEMBER_OPERATIONS = {
  members: {
    method: 'GET',
    path: '/v1/sys/members',
    summary: 'Every member of every seal, the removed ones too.',
    answer: { kind: 'json', schema: membersView },
    refusals: ['CUSTODY_SEALED'],
  },
  revokeMember: {
    method: 'POST',
    path: '/v1/sys/members/revoke',
    summary:
      'Takes a member’s records away and rotates with a broken chain, so that no old copy of the keyring helps it.',
    description:
      'The next generation is wrapped for the members that stay, and for nobody else: `members` names them, and without it nothing is ' +
      'done. Where any member is a TPM, `nodes` names every server of the cluster, but the one that is shut out.',
    body: {
      kind: 'json',
      schema: v.strictObject({ seal: sealName, memberId, confirm, ...breakFields }),
    },
    answer: { kind: 'json', schema: rotationView },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NO_WAY_IN',
      'OPERATION_INVALID',
      'OPERATION_LAST_WAY_IN',
      'OPERATION_MEMBER_UNKNOWN',
      'OPERATION_MEMBERS_CHANGED',
      'OPERATION_MEMBERS_UNREACHABLE',
      'OPERATION_NODES_UNKNOWN',
      'OPERATION_NOT_CONFIRMED',
    ],
  },
  exportKeyring: {
    method: 'GET',
    path: '/v1/sys/keyring',
    summary: 'The keyring as it is held. It has no plain key.',
    answer: { kind: 'bytes', what: 'docs/formats/keyring.md' },
    refusals: ['CUSTODY_SEALED'],
  },
  importKeyring: {
    method: 'PUT',
    path: '/v1/sys/keyring',
    summary: 'Unites a keyring of another node with the one that is held.',
    body: { kind: 'bytes', maxBytes: MAX_KEYRING_BODY_BYTES, what: 'docs/formats/keyring.md' },
    answer: { kind: 'json', schema: importView },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_AUTH_FAILED',
      'KEYRING_LINEAGE_FORGED',
      'KEYRING_LINK_BROKEN',
      'KEYRING_NO_ROOM',
      'KEYRING_NO_WAY_IN',
      'KEYRING_RECORD_AUTH_FAILED',
      'KEYRING_TOO_LARGE',
      ...KEYRING_REFUSALS,
    ],
  },
  approveEnrolment: {
    method: 'POST',
    path: '/v1/sys/enroll/approve',
    summary: 'Takes a new node in: answers with the keyring that has a record for it.',
    query: v.strictObject({ fingerprint, label }),
    body: { kind: 'bytes', maxBytes: MAX_ENROLMENT_BYTES, what: 'the request of the new node' },
    answer: { kind: 'bytes', what: 'docs/formats/keyring.md', facts: enrolmentView },
    refusals: [
      'CUSTODY_SEALED',
      'ENROLMENT_REQUEST_MALFORMED',
      'KEYRING_NO_ROOM',
      'OPERATION_INVALID',
      'OPERATION_NOT_CONFIRMED',
      'OPERATION_SEAL_UNKNOWN',
    ],
  },
} as const satisfies Readonly<Record<string, Operation>>
