import { hex, sameBytes } from '@sealwright/bytes'
import { decodeKeyring, encodeKeyring, findSeal, type Keyring } from '@sealwright/keyring'
import { type NamedSet, proveByShares, withShareSet } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { createShareSet, encodeShare } from '@sealwright/shamir'
import { type MemberFacts, type SealOperations } from '../control/operations.ts'
import { type Custody, type Unlocked } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { listedMember } from './facts.ts'

/** More than people make at once. The oldest goes first: its shares were handed out, and open nothing. */
const MAX_NEW_SETS = 16

/** The public half of a set whose shares are on their way to whoever asked for it. */
interface NewShareSet extends NamedSet {
  /** The seal that it is for; `undefined` if the set is its first member. */
  readonly sealId: Uint8Array | undefined
}

/**
 * Sets that nobody has confirmed yet, in memory alone, by member id in hex. None is in the keyring before its shares have arrived: one
 * whose shares got lost on the way would look like a way in.
 */
export type NewShareSets = Map<string, NewShareSet>

export function createNewShareSets(): NewShareSets {
  return new Map()
}

/**
 * Makes a set of shares and proves that it would open the keyring; the keyring stays as it is.
 *
 * @returns its shares, owned by the caller, who wipes them. Its member has no records yet.
 * @throws {@link OperationError} `OPERATION_INVALID` for the label of a set that opens; {ShamirError} `SHAMIR_INPUT_INVALID`, `SHAMIR_SET_UNPROVEN`; {KeyringError} `KEYRING_NAME_TAKEN`, `KEYRING_TOO_LARGE`; as
 *   `Custody.change`.
 */
export async function newShareSet(
  { custody, newShareSets }: { readonly custody: Custody; readonly newShareSets: NewShareSets },
  {
    sealName,
    label,
    threshold,
    count,
  }: { readonly sealName: string; readonly label: string; readonly threshold: number; readonly count: number },
  signal: AbortSignal,
): Promise<Awaited<ReturnType<SealOperations['initialise']>>> {
  const { clusterId } = await custody.known()
  const made = createShareSet({ clusterId, threshold, shares: count, randomBytes: randomKeyBytes })
  try {
    const { wrappingKey, memberId, data } = made
    const asked = { sealName, label, wrappingKey, memberId, data }
    let result: { readonly set: NewShareSet; readonly member: MemberFacts } | undefined
    await custody.change(async (unlocked, changeSignal) => {
      const set = { ...asked, sealId: findSeal(unlocked.keyring, sealName)?.sealId }
      // As it would be written, and opened from there by the shares, as people would.
      const written = decodeKeyring(encodeKeyring(await withSet(unlocked, set, changeSignal)))
      await proveByShares(written, { sealName, memberId, shares: made.shares }, changeSignal)
      result = { set, member: { ...listedMember(written, sealName, memberId), records: [] } }
      return unlocked
    }, signal)
    if (result === undefined) throw new TypeError('a change ends only with a result')
    remember(newShareSets, result.set)
    return { member: result.member, clusterId: hex(clusterId), shares: made.shares.map(encodeShare) }
  } finally {
    for (const { value } of made.shares) value.wipe()
  }
}

/**
 * Puts a set that {@link newShareSet} has made into the keyring: all its shares have arrived.
 *
 * @throws {@link OperationError} `OPERATION_MEMBER_UNKNOWN`, `OPERATION_INVALID` if another set got its label meanwhile; as `Custody.change`.
 */
export async function confirmShares(
  { custody, newShareSets }: { readonly custody: Custody; readonly newShareSets: NewShareSets },
  { sealName, memberId }: Pick<Parameters<SealOperations['confirmShares']>[0], 'sealName' | 'memberId'>,
  signal: AbortSignal,
): Promise<MemberFacts> {
  const set = newShareSets.get(memberId)
  if (set?.sealName !== sealName) {
    throw new OperationError(
      'OPERATION_MEMBER_UNKNOWN',
      `no set of shares ${memberId} of ${sealName} was made since this agent was started, or too many since: unless sealctl members list has it, ` +
        'its shares open nothing. Destroy them, and make another set',
    )
  }
  const { keyring } = await custody.change(async (unlocked, changeSignal) => {
    assertNotRemoved(unlocked.keyring, set)
    return {
      keyring: isListed(unlocked.keyring, set) ? unlocked.keyring : await withSet(unlocked, set, changeSignal),
      sealKeys: unlocked.sealKeys,
    }
  }, signal)
  return listedMember(keyring, sealName, set.memberId)
}

function remember(newShareSets: NewShareSets, set: NewShareSet): void {
  newShareSets.set(hex(set.memberId), set)
  const [oldest] = newShareSets.keys()
  if (newShareSets.size > MAX_NEW_SETS && oldest !== undefined) newShareSets.delete(oldest)
}

/** Neither the set nor its seal was shut out since: to confirm is no way to bring it back. */
function assertNotRemoved(keyring: Keyring, { sealName, sealId, memberId }: NewShareSet): void {
  const seal = findSeal(keyring, sealName)
  const isSealThere = sealId === undefined || (seal !== undefined && sameBytes(seal.sealId, sealId))
  const listed = keyring.members.find(member => sameBytes(member.memberId, memberId))
  if (isSealThere && listed?.state !== 'removed') return
  throw new OperationError(
    'OPERATION_MEMBER_UNKNOWN',
    `the set of shares ${hex(memberId)}, or its seal ${sealName}, was removed meanwhile: its shares open nothing. Destroy them`,
  )
}

function isListed(keyring: Keyring, { memberId }: NewShareSet): boolean {
  return keyring.members.some(member => sameBytes(member.memberId, memberId))
}

/** @throws {@link OperationError} `OPERATION_INVALID` if its label is taken. */
async function withSet({ keyring, sealKeys }: Unlocked, set: NewShareSet, signal: AbortSignal): Promise<Keyring> {
  assertLabelFree(keyring, set.sealName, set.label)
  return await withShareSet({ keyring, sealKeys, now: Date.now, randomBytes: randomKeyBytes, signal }, set)
}

/** People tell sets apart by their labels alone. */
function assertLabelFree(keyring: Keyring, sealName: string, label: string): void {
  const seal = findSeal(keyring, sealName)
  const taken = keyring.members.find(
    member =>
      seal !== undefined &&
      member.state === 'active' &&
      member.label === label &&
      sameBytes(member.sealId, seal.sealId),
  )
  if (taken === undefined) return
  throw new OperationError(
    'OPERATION_INVALID',
    `nothing was changed: ${sealName} has a set of shares called ${label} already (${hex(taken.memberId)}): give the new one another label ` +
      '(sealctl init --label), or shut the old one out first (sealctl members revoke)',
  )
}
