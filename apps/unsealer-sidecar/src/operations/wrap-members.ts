import { sameBytes } from '@sealwright/bytes'
import { addRecord, type Generation, type Keyring, type Member, type SealKeys } from '@sealwright/keyring'
import { type ConfiguredSeal, standInFor } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type MemberName, nameOf, sealOf } from './facts.ts'

const NOT_ITS_KEY = 'the public key that is listed for it is that of another member: it may be an intruder’s'

/** A member that a generation could not be wrapped for, and why. */
export interface LeftOut {
  readonly name: MemberName
  readonly reason: string
}

/** What came of wrapping a generation for many. */
export interface WrappedForMembers {
  readonly keyring: Keyring
  readonly wrapped: readonly MemberName[]
  readonly leftOut: readonly LeftOut[]
  /** Names of the seals of this node that sealed for themselves: prove them. */
  readonly sealedHere: readonly string[]
}

/**
 * Gives members a record of one generation: those that this node reaches seal for themselves, for the others their public key does.
 *
 * @param input.sealKeys - hold the key of that generation; stay the caller's.
 * @param input.members - active ones, of the keyring.
 * @param input.seals - of this node: asked for members that they have. None: public keys only.
 * @throws {KeyringError} as `addRecord`. What a seal throws leaves its member out.
 */
export async function wrapForMembers(
  input: {
    readonly keyring: Keyring
    readonly sealKeys: SealKeys
    readonly generation: Generation
    readonly members: readonly Member[]
    readonly seals: readonly ConfiguredSeal[]
  },
  signal: AbortSignal,
): Promise<WrappedForMembers> {
  const { sealKeys, generation, members, seals } = input
  const wrapped: MemberName[] = []
  const leftOut: LeftOut[] = []
  const sealedHere: string[] = []
  const done = new Set<Member>()
  let { keyring } = input

  const wrap = async (
    member: Member,
    sealer: Pick<Parameters<typeof addRecord>[0], 'member' | 'method' | 'sealName'>,
  ): Promise<void> => {
    keyring = await addRecord({
      ...{ keyring, sealKeys, generationId: generation.id, label: member.label, now: Date.now, signal },
      ...sealer,
      randomBytes: randomKeyBytes,
    })
    done.add(member)
  }

  for (const seal of seals) {
    const listed = members.filter(member => sealOf(keyring, member)?.name === seal.name)
    if (listed.length === 0) continue
    try {
      await seal.withLocalMember({ knownIn: keyring, signal }, async local => {
        const member = listed.find(({ memberId }) => sameBytes(memberId, local.memberId))
        if (member === undefined) return
        await wrap(member, { sealName: seal.name, member: local, method: local.method })
        sealedHere.push(seal.name)
      })
    } catch {
      // It is out of reach now: perhaps its public key is not.
      signal.throwIfAborted()
    }
  }
  for (const member of members) {
    const seal = sealOf(keyring, member)
    if (seal === undefined) continue
    const name = nameOf(seal, member)
    if (!done.has(member)) {
      const standIn = standInFor(keyring, seal, member)
      if (standIn.kind === 'cannot') leftOut.push({ name, reason: standIn.reason })
      // Whoever had an old key can have put a key of their own in its place: the record would be for a member that nobody has seen.
      else if (!sameBytes(standIn.member.memberId, member.memberId)) leftOut.push({ name, reason: NOT_ITS_KEY })
      else await wrap(member, { ...standIn, sealName: seal.name })
    }
    if (done.has(member)) wrapped.push(name)
  }
  return { keyring, wrapped, leftOut, sealedHere }
}
