import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { breakFields, raftNodeId } from '../request-fields.ts'
import { generationsView, retirementView, rotationView } from '../views/rotation.ts'

/** The generations of the seal key. */
export const ROTATION_OPERATIONS = {
  generations: {
    method: 'GET',
    path: '/v1/sys/generations',
    summary: 'Every generation of the seal key.',
    answer: { kind: 'json', schema: generationsView },
    refusals: ['CUSTODY_SEALED'],
  },
  rotate: {
    method: 'POST',
    path: '/v1/sys/rotate/seal-key',
    summary: 'Makes a new generation of the seal key.',
    description:
      'Sets of shares get a record of it at once; the others climb to it by a link. `breakChain` writes no link: the generation is ' +
      'wrapped for the members that stay, and for nobody else. `members` names them, and without it nothing is done; who neither ' +
      'can be reached nor has a public key must be in `drop`. Where any member is a TPM, `nodes` names every server of the cluster. ' +
      'OpenBao’s own blobs stay as they are until it re-wraps them (`POST sys/rotate/root` of OpenBao).',
    body: { kind: 'json', schema: v.strictObject({ breakChain: v.optional(v.boolean()), ...breakFields }) },
    answer: { kind: 'json', schema: rotationView },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NO_ROOM',
      'KEYRING_NO_WAY_IN',
      'KEYRING_TOO_LARGE',
      'OPERATION_INVALID',
      'OPERATION_LAST_WAY_IN',
      'OPERATION_MEMBER_UNKNOWN',
      'OPERATION_MEMBERS_CHANGED',
      'OPERATION_MEMBERS_UNREACHABLE',
      'OPERATION_NODES_UNKNOWN',
      'OPERATION_NOT_CONFIRMED',
    ],
  },
  retire: {
    method: 'POST',
    path: '/v1/sys/rotate/retire',
    summary: 'Retires the generations that a snapshot of OpenBao does not name any more.',
    query: v.strictObject({
      lostNode: v.optional(
        v.pipe(v.array(raftNodeId), v.description('raft server that is lost for good and needs no record')),
      ),
    }),
    repeatable: ['lostNode'],
    body: { kind: 'stream', what: 'a raft snapshot as OpenBao gives it, taken after it re-wrapped' },
    answer: { kind: 'json', schema: retirementView },
    refusals: [
      'CUSTODY_SEALED',
      'OPERATION_NODES_UNKNOWN',
      'OPERATION_SNAPSHOT_REFUSED',
      'RAFT_SNAPSHOT_INPUT_FAILED',
      'RAFT_SNAPSHOT_NOT_GZIP',
      'RAFT_SNAPSHOT_TRUNCATED',
    ],
  },
} as const satisfies Readonly<Record<string, Operation>>
