import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { confirm, label, namedSeal, shareCount } from '../request-fields.ts'
import { initialisedView } from '../views/members.ts'
import { listedSealsView, listedSealView, reloadView } from '../views/seals.ts'

/** The named seals of the cluster. */
export const SEAL_OPERATIONS = {
  seals: {
    method: 'GET',
    path: '/v1/sys/seals',
    summary: 'Every seal of the keyring, and every seal of this node’s configuration.',
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
    summary:
      'Removes a seal with all its records. Refused for the last way in, and for the current seal of a live node.',
    description:
      'Copies of the keyring that were made before still hold the records. To shut the seal out of what is written from now on, ' +
      'rotate with a broken chain.',
    parameters: namedSeal,
    query: v.strictObject({ confirm }),
    answer: { kind: 'nothing' },
    refusals: [
      'CUSTODY_SEALED',
      'KEYRING_NO_WAY_IN',
      'OPERATION_LAST_WAY_IN',
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
      'For a Shamir seal a new set of shares is made. They are handed out here and never again: the body has one a line. For any other ' +
      'seal the body is empty.',
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
      'OPERATION_INVALID',
      'OPERATION_SEAL_FAILED',
      'OPERATION_SEAL_UNKNOWN',
      'SHAMIR_INPUT_INVALID',
    ],
  },
} as const satisfies Readonly<Record<string, Operation>>
