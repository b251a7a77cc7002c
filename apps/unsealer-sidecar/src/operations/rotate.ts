import {
  activateGeneration,
  addGeneration,
  type Generation,
  type GenerationStep,
  type Member,
  removeMembers,
  type SealKeys,
} from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type BreakRequest } from '../control/operations.ts'
import { type Changed, type Unlocked } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { type MemberName, nameOf, sealOf } from './facts.ts'
import { neverTheLast } from './last-way-in.ts'
import { assertConfirmedMembers, assertNobodyForgotten, partMembers } from './staying-members.ts'
import { type LeftOut, wrapForMembers } from './wrap-members.ts'

/** A rotated keyring, and who has a record of the new generation. */
export interface Rotated extends Changed {
  readonly generation: Generation
  readonly wrapped: readonly MemberName[]
  readonly dropped: readonly MemberName[]
}

/**
 * Makes the next generation of the seal key and lets it encrypt. Every record of the keyring leads to it by the new link, also that of a
 * seal that is offline now. People with shares get a record at once: nobody could make one for them later without the seal key.
 *
 * A TPM or token that is away gets none by its public key: the link is symmetric, and such a record would not outlast a quantum computer.
 */
export async function rotateChained(unlocked: Unlocked, signal: AbortSignal): Promise<Rotated> {
  const next = withGeneration(unlocked, 'chained')
  try {
    const { generation, sealKeys } = next
    const keyring = activateGeneration({ keyring: next.keyring, sealKeys, id: generation.id })
    const members = keyring.members.filter(member => {
      const seal = sealOf(keyring, member)
      // A set in a seal that was removed gets nothing: a record for it would bring the seal back.
      return member.state === 'active' && seal?.state === 'active' && seal.sealType === 'shamir'
    })
    const made = await wrapForMembers({ keyring, sealKeys, generation, members, seals: [] }, signal)
    return { ...made, sealKeys, generation, dropped: [] }
  } catch (error) {
    next.sealKey.wipe()
    throw error
  }
}

/** What a break is for, and what an operator has said of it. */
export interface ChainBreak extends BreakRequest {
  /** Of this node, that are not disabled. */
  readonly seals: readonly ConfiguredSeal[]
  /** An active member of the keyring that is removed, beside those of `drop`. */
  readonly revoked?: Member
}

/**
 * Makes a generation that no old key leads to, for a seal or a key that may be in wrong hands. Members that are to leave are removed first.
 * The others get a record of it now, each by itself or by its public key, and they are those that were confirmed: nobody else gets one.
 *
 * @throws {@link OperationError} `OPERATION_MEMBERS_UNREACHABLE`, `OPERATION_MEMBER_UNKNOWN`, `OPERATION_MEMBERS_CHANGED`,
 *   `OPERATION_NODES_UNKNOWN`, `OPERATION_LAST_WAY_IN`, `OPERATION_NOT_CONFIRMED`, `OPERATION_INVALID`. Then nothing is changed.
 */
export async function rotateBroken(
  { keyring: before, sealKeys: heldBefore }: Unlocked,
  { seals, revoked, ...request }: ChainBreak,
  signal: AbortSignal,
): Promise<Rotated> {
  const { staying, leaving } = partMembers(before, { revoked, drop: request.drop })
  // Before the new generation is made: what becomes of it is not for them, and the sweep of a break takes them away with it.
  const without = neverTheLast(inWords(leaving), () =>
    removeMembers({ keyring: before, sealKeys: heldBefore, places: leaving }),
  )
  assertConfirmedMembers(before, staying, request.members)
  assertNobodyForgotten(before, staying, request)
  const next = withGeneration({ keyring: without, sealKeys: heldBefore }, 'broken')
  try {
    const { generation, sealKeys } = next
    const made = await wrapForMembers({ ...next, members: staying, seals }, signal)
    assertAllReached(made.leftOut)
    return {
      keyring: activateGeneration({ keyring: made.keyring, sealKeys, id: generation.id }),
      ...{ sealKeys, generation, wrapped: made.wrapped },
      dropped: leaving.flatMap(member => {
        const seal = sealOf(before, member)
        return seal === undefined ? [] : [nameOf(seal, member)]
      }),
      provenBy: seals.filter(({ name }) => made.sealedHere.includes(name)),
    }
  } catch (error) {
    next.sealKey.wipe()
    throw error
  }
}

function inWords(leaving: readonly Member[]): string {
  const [first] = leaving
  return first !== undefined && leaving.length === 1 ? first.label : `at least one of these ${leaving.length} members`
}

function assertAllReached(leftOut: readonly LeftOut[]): void {
  if (leftOut.length === 0) return
  const list = leftOut
    .map(({ name, reason }) => `${name.sealName}/${name.label} (${name.memberId}): ${reason}`)
    .join('; ')
  throw new OperationError(
    'OPERATION_MEMBERS_UNREACHABLE',
    `nothing was changed: these would not open any more: ${list}. Bring them online and rotate from a node that reaches them, or give ` +
      'each up with --drop MEMBER',
  )
}

function withGeneration(
  { keyring, sealKeys }: Unlocked,
  step: GenerationStep,
): Unlocked & { readonly generation: Generation; readonly sealKey: { wipe(): void }; readonly sealKeys: SealKeys } {
  const added = addGeneration({
    ...{ keyring, sealKeys, step },
    randomBytes: randomKeyBytes,
  })
  return { ...added, sealKeys: sealKeys.with(added.generation.id, added.sealKey) }
}
