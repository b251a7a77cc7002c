import { randomFillSync } from 'node:crypto'
import {
  activateGeneration,
  addGeneration,
  type Generation,
  type GenerationStep,
  removeMember,
  type SealKeys,
} from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { allocateKeyBytes } from '@sealwright/secret'
import { type Changed, type Unlocked } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { hex, type MemberName, sealOf } from './facts.ts'
import { wrapForMembers } from './wrap-members.ts'

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
    const members = keyring.members.filter(
      member => member.state === 'active' && sealOf(keyring, member)?.sealType === 'shamir',
    )
    const made = await wrapForMembers({ keyring, sealKeys, generation, members, seals: [] }, signal)
    return { ...made, sealKeys, generation, dropped: [] }
  } catch (error) {
    next.sealKey.wipe()
    throw error
  }
}

/**
 * Makes a generation that no old key leads to, for a seal or a key that may be in wrong hands. Every member gets a record of it now, by
 * itself or by its public key; who cannot is named, and nothing is changed, unless it is given up by name.
 *
 * @param input.seals - of this node, that are not disabled. @param input.drop - ids of members, in hex.
 * @throws {@link OperationError} `OPERATION_MEMBERS_UNREACHABLE`, `OPERATION_MEMBER_UNKNOWN`.
 */
export async function rotateBroken(
  unlocked: Unlocked,
  { seals, drop }: { readonly seals: readonly ConfiguredSeal[]; readonly drop: readonly string[] },
  signal: AbortSignal,
): Promise<Rotated> {
  const active = unlocked.keyring.members.filter(({ state }) => state === 'active')
  for (const memberId of drop) {
    if (active.some(member => hex(member.memberId) === memberId)) continue
    throw new OperationError(
      'OPERATION_MEMBER_UNKNOWN',
      `there is no active member ${memberId}: see sealctl members list`,
    )
  }
  const next = withGeneration(unlocked, 'broken')
  try {
    const { generation, sealKeys } = next
    const made = await wrapForMembers({ ...next, members: active, seals }, signal)
    const missed = made.leftOut.filter(({ name }) => !drop.includes(name.memberId))
    if (missed.length > 0) {
      const list = missed
        .map(({ name, reason }) => `${name.sealName}/${name.label} (${name.memberId}): ${reason}`)
        .join('; ')
      throw new OperationError(
        'OPERATION_MEMBERS_UNREACHABLE',
        `nothing was changed: these would not open any more: ${list}. Bring them online and rotate from a node that reaches them, or give ` +
          'each up with --drop MEMBER',
      )
    }
    const activated = activateGeneration({ keyring: made.keyring, sealKeys, id: generation.id })
    const keyring = made.leftOut.reduce(
      (before, { member }) => removeMember({ keyring: before, sealKeys, place: member }),
      activated,
    )
    return {
      ...{ keyring, sealKeys, generation, wrapped: made.wrapped },
      dropped: made.leftOut.map(({ name }) => name),
      provenBy: seals.filter(({ name }) => made.sealedHere.includes(name)),
    }
  } catch (error) {
    next.sealKey.wipe()
    throw error
  }
}

function withGeneration(
  { keyring, sealKeys }: Unlocked,
  step: GenerationStep,
): Unlocked & { readonly generation: Generation; readonly sealKey: { wipe(): void }; readonly sealKeys: SealKeys } {
  const added = addGeneration({
    ...{ keyring, sealKeys, step },
    randomBytes: byteLength => randomFillSync(allocateKeyBytes(byteLength)),
  })
  return { ...added, sealKeys: sealKeys.with(added.generation.id, added.sealKey) }
}
