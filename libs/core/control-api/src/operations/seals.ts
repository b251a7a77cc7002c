import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { confirm, label, memberId, namedSeal, raftNodeId, shareCount } from '../request-fields.ts'
import { confirmedView, initialisedView } from '../views/members.ts'
import { listedSealsView, listedSealView, reloadView } from '../views/seals.ts'

/** The named seals of the cluster. */
export const SEAL_OPERATIONS = {
  seals: {
    method: 'GET',
    path: '/v1/sys/seals',
    summary: 'Every seal of the keyring, and every seal of this node’s configuration.',
    description: 'While this node is sealed only those of its configuration are known, and nobody’s members.',
    answer: { kind: 'json', schema: listedSealsView },
    refusals: [],
  },
  seal: {
    method: 'GET',
    path: '/v1/sys/seals/:name',
    summary: 'One of them, with its members and their records.',
    parameters: namedSeal,
    answer: { kind: 'json', schema: listedSealView },
    refusals: ['CONTROL_SEAL_UNKNOWN'],
  },
  deleteSeal: {
    method: 'DELETE',
    path: '/v1/sys/seals/:name',
    summary: 'Removes a seal with all its records, unless a node is known to need it.',
    description:
      'Refused unless another automatic seal of this node opens at this moment, for real; if this node has the seal in its ' +
      'configuration; and if a generation of the key in use, or the TPM of a node, would be without any record of an automatic ' +
      'seal. Shares of people are never counted. Which seal another node was opened by cannot be seen from here: while the seal has ' +
      'records, `checkedNode` names every server of which an operator has seen that another seal opens it. For a seal of type tpm ' +
      'all that it has members of, for any other one all that have a TPM, and at least one. Copies of the keyring that were made before still ' +
      'hold the records. To shut the seal out of what is written from now on, rotate with a broken chain.',
    parameters: namedSeal,
    query: v.strictObject({
      confirm,
      checkedNode: v.optional(
        v.pipe(v.array(raftNodeId), v.description('raft server of which somebody has seen that another seal opens it')),
      ),
    }),
    repeatable: ['checkedNode'],
    answer: { kind: 'nothing' },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NO_WAY_IN',
      'OPERATION_LAST_WAY_IN',
      'OPERATION_NODES_UNCHECKED',
      'OPERATION_NOT_CONFIRMED',
      'OPERATION_SEAL_IN_USE',
      'OPERATION_SEAL_UNKNOWN',
    ],
  },
  reload: {
    method: 'POST',
    path: '/v1/sys/reload',
    summary: 'Reads the configuration of this node anew, as SIGHUP does: its seals, and the id of the cluster.',
    description:
      'What a seal is stays with whoever may write the configuration: nothing here adds one. A configuration that is refused changes ' +
      'nothing, and the seals from before go on. Seals that waited for an operator are tried again in any case.',
    body: {
      kind: 'json',
      schema: v.strictObject({
        tend: v.optional(
          v.pipe(
            v.boolean(),
            v.description(
              'false: a new seal is not given its first record at once, but with the next probe; for who is about to initialise it',
            ),
          ),
        ),
      }),
    },
    answer: { kind: 'json', schema: reloadView },
    refusals: ['CONFIG_INVALID', 'CONFIG_SYNTAX', 'CONFIG_UNREADABLE', 'CONFIG_UNSAFE'],
  },
  initialise: {
    method: 'POST',
    path: '/v1/sys/init/:name',
    summary: 'Gives a seal of this node’s configuration its first record, or one for the device that it has now.',
    description:
      'For a Shamir seal a new set of shares is made. They are handed out here and never again: the body has one a line. They open nothing ' +
      'before they are confirmed; if this answer is lost, nothing is left of them. For any other seal the body is empty.',
    parameters: namedSeal,
    body: {
      kind: 'json',
      schema: v.strictObject({
        label: v.optional(label),
        shares: v.optional(v.strictObject({ threshold: shareCount, count: shareCount })),
      }),
    },
    answer: { kind: 'secrets', what: 'the shares, one a line', facts: initialisedView },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NAME_TAKEN',
      'KEYRING_NO_ROOM',
      'OPERATION_INVALID',
      'OPERATION_SEAL_FAILED',
      'OPERATION_SEAL_UNKNOWN',
      'SHAMIR_INPUT_INVALID',
    ],
  },
  confirmShares: {
    method: 'POST',
    path: '/v1/sys/init/:name/confirm',
    summary: 'Has a new set of shares open the keyring, now that all of them have arrived.',
    description:
      'The agent remembers the public half of the latest sets until it ends. To confirm one again changes nothing: so it is known whether ' +
      'an answer that was lost had come to be.',
    parameters: namedSeal,
    body: { kind: 'json', schema: v.strictObject({ memberId }) },
    answer: { kind: 'json', schema: confirmedView },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NAME_TAKEN',
      'KEYRING_NO_ROOM',
      'OPERATION_INVALID',
      'OPERATION_MEMBER_UNKNOWN',
    ],
  },
} as const satisfies Readonly<Record<string, Operation>>
