import { hex, sameBytes } from '@sealwright/bytes'
import { type Keyring, type Member } from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { type NamedShareSet, readShareSet, ShamirError, type Share, type ShareSet } from '@sealwright/shamir'
import { OperationError } from './errors.ts'
import { sealOf } from './facts.ts'

/** A share set of the keyring, with the names that people know it by. */
export interface KnownShareSet {
  readonly set: ShareSet
  readonly sealName: string
  readonly label: string
}

/** Every active share set of a keyring, but for those that are none. */
export function shareSetsOf(keyring: Keyring): readonly KnownShareSet[] {
  return keyring.members.flatMap(member => {
    const seal = sealOf(keyring, member)
    if (member.state !== 'active' || seal?.sealType !== 'shamir' || seal.state !== 'active') return []
    const set = findShareSet(keyring, member)
    return set === undefined ? [] : [{ set, sealName: seal.name, label: member.label }]
  })
}

/** One that is no set is nobody’s: who had an old key can have planted it, and it must not keep the others from opening. */
function findShareSet({ clusterId }: Keyring, member: Member): ShareSet | undefined {
  try {
    return readShareSet({ clusterId, member })
  } catch (error) {
    if (error instanceof ShamirError) return undefined
    throw error
  }
}

/**
 * The Shamir seal that shares are meant for: the one that was named; else `default`; else that of the best priority in the
 * configuration of this node; else the only one that the keyring has.
 *
 * @throws {@link OperationError} `OPERATION_SEAL_UNKNOWN`.
 */
export function chosenShamirSeal(
  sets: readonly KnownShareSet[],
  configured: readonly SealConfig[],
  sealName: string | undefined,
): string {
  const names = new Set(sets.map(set => set.sealName))
  const local = configured
    .filter(({ type, disabled }) => type === 'shamir' && !disabled)
    .sort((a, b) => a.priority - b.priority)
    .map(({ name }) => name)
  const [only] = names
  const candidates =
    sealName === undefined
      ? ['default', ...local, ...(names.size === 1 && only !== undefined ? [only] : [])]
      : [sealName]
  const chosen = candidates.find(name => names.has(name))
  if (chosen !== undefined) return chosen
  throw new OperationError(
    'OPERATION_SEAL_UNKNOWN',
    names.size === 0
      ? 'the keyring has no set of shares: make one with sealctl init --seal NAME while another seal is open'
      : `name the seal that the shares are for, with --seal: ${[...names].join(', ')}`,
  )
}

/**
 * The set of that seal that a share belongs to; if it is of none of them, the first, whose refusal then says whose it is.
 *
 * @param share - as it was typed.
 */
export function setFor(sets: readonly KnownShareSet[], sealName: string, share: Share): KnownShareSet {
  const ofSeal = sets.filter(set => set.sealName === sealName)
  const chosen = ofSeal.find(known => isOfSet(known, share)) ?? ofSeal[0]
  if (chosen === undefined) throw new TypeError(`${sealName} has no set of shares`)
  return chosen
}

/** Whether it names a set of that seal that opens. */
export function isOfSeal(sets: readonly KnownShareSet[], sealName: string, share: Share): boolean {
  return sets.some(known => known.sealName === sealName && isOfSet(known, share))
}

function isOfSet({ set }: KnownShareSet, { memberId }: Share): boolean {
  return sameBytes(set.memberId, memberId)
}

/** Why a share does not count. Of a set that was removed the keyring may still have the name, which says more than its id. */
export function faultOf(keyring: Keyring, share: Share | undefined, error: ShamirError): ShamirError {
  if (error.code !== 'SHAMIR_OTHER_SET' || share === undefined) return error
  const removed = keyring.members.find(
    ({ state, memberId }) => state === 'removed' && sameBytes(memberId, share.memberId),
  )
  const seal = removed && sealOf(keyring, removed)
  if (seal === undefined) return error
  return new ShamirError(
    'SHAMIR_OTHER_SET',
    `this share is of the set ${removed?.label ?? ''} of the seal ${seal.name}, which was removed: destroy it`,
    { cause: error },
  )
}

/** Does it; where a share is refused that is of a set that was removed, the refusal says so. */
export function namingRemoved<T>(keyring: Keyring, share: Share, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw error instanceof ShamirError ? faultOf(keyring, share, error) : error
  }
}

/** All sets by name, to say of a stray share where it belongs. */
export function namesOf(sets: readonly KnownShareSet[]): readonly NamedShareSet[] {
  return sets.map(({ set: { sealId, memberId }, sealName, label }) => ({ sealId, memberId, sealName, label }))
}

/** What a ceremony is kept under. */
export function setKey({ set }: KnownShareSet): string {
  return hex(set.memberId)
}
