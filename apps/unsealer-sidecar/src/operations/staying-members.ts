import { hex } from '@sealwright/bytes'
import { membersNamed, memberSetFingerprint } from '@sealwright/control-api'
import { type Keyring, type Member } from '@sealwright/keyring'
import { type BreakRequest } from '../control/operations.ts'
import { OperationError } from './errors.ts'
import { fingerprintOf, sealOf, stateOf } from './facts.ts'
import { assertNodesKnown, tpmMembers } from './nodes-known.ts'

/** Active members of active seals, by what a break of the chain does to them. */
export interface Parting {
  readonly staying: readonly Member[]
  readonly leaving: readonly Member[]
}

/**
 * Parts those that are removed from those that stay.
 *
 * @param input.revoked - the one that the break is for, if any. @param input.drop - ids in hex, with which who is in two seals leaves both; or
 *   fingerprints.
 * @throws {@link OperationError} `OPERATION_MEMBER_UNKNOWN`.
 */
export function partMembers(
  keyring: Keyring,
  { revoked, drop }: { readonly revoked: Member | undefined; readonly drop: readonly string[] },
): Parting {
  const listed = keyring.members.flatMap(member => {
    const seal = sealOf(keyring, member)
    if (seal === undefined || stateOf(seal, member) !== 'active') return []
    return [{ member, memberId: hex(member.memberId), fingerprint: fingerprintOf(seal, member) }]
  })
  const active = listed.map(({ member }) => member)
  const { named, unknown } = membersNamed(listed, drop)
  if (unknown !== undefined) {
    throw new OperationError(
      'OPERATION_MEMBER_UNKNOWN',
      `${unknown} is the id or fingerprint of no active member, or of two that are not the same: see sealctl members list`,
    )
  }
  const dropped = new Set([...named].map(({ member }) => member))
  const leaves = (member: Member): boolean => member === revoked || dropped.has(member)
  return { staying: active.filter(member => !leaves(member)), leaving: active.filter(leaves) }
}

/**
 * The members that stay are those that an operator has seen, and nobody else: whoever once had an old key can have made a member of their
 * own, which a merge has brought here.
 *
 * @param confirmed - fingerprint of the set (docs/formats/keyring.md §7.8).
 * @throws {@link OperationError} `OPERATION_NOT_CONFIRMED` without one, `OPERATION_MEMBERS_CHANGED` if it is of another set.
 */
export function assertConfirmedMembers(
  keyring: Keyring,
  staying: readonly Member[],
  confirmed: string | undefined,
): void {
  if (confirmed === undefined) {
    throw new OperationError(
      'OPERATION_NOT_CONFIRMED',
      'nothing was changed: a break of the chain needs the fingerprint of the members that stay: look at them with sealctl members list',
    )
  }
  const found = memberSetFingerprint(
    staying.flatMap(member => {
      const seal = sealOf(keyring, member)
      return seal === undefined ? [] : [fingerprintOf(seal, member)]
    }),
  )
  if (found === confirmed) return
  throw new OperationError(
    'OPERATION_MEMBERS_CHANGED',
    `nothing was changed: the ${staying.length} members that would get the next key have the fingerprint ${found}, and ${confirmed} was ` +
      'confirmed. Look at them again with sealctl members list: who is a stranger is removed with --drop MEMBER',
  )
}

/**
 * No live server of the cluster is shut out by not being known here.
 *
 * @throws {@link OperationError} `OPERATION_INVALID` if servers are to be named and none is; `OPERATION_NODES_UNKNOWN`.
 */
export function assertNobodyForgotten(
  keyring: Keyring,
  staying: readonly Member[],
  { nodes, lost }: Pick<BreakRequest, 'nodes' | 'lost'>,
): void {
  const everyTpm = tpmMembers(keyring)
  if (everyTpm.length > 0 && nodes.length === 0) {
    throw new OperationError(
      'OPERATION_INVALID',
      'nothing was changed: name every server of the cluster, with --snapshot FILE or --nodes NAME,NAME: who is not known here would be shut out',
    )
  }
  assertNodesKnown({
    ...{ everyTpm, opens: tpmMembers(keyring, staying), nodes, lost },
    nothingDone: 'nothing was changed',
  })
}
