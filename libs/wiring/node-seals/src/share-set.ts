import { randomBytes } from 'node:crypto'
import { sameBytes } from '@sealwright/bytes'
import {
  addRecord,
  findSeal,
  type Generation,
  type Keyring,
  KeyringError,
  type Member,
  proveRecords,
  type RecordInput,
  rootGenerations,
  type SealKeys,
  type Surroundings,
} from '@sealwright/keyring'
import {
  beginCeremony,
  type CreatedShareSet,
  next,
  readShareSet,
  type Share,
  shamirRemoteMember,
  shamirSealMember,
} from '@sealwright/shamir'
import { standInFor } from './stand-in.ts'

const NONCE_BYTES = 16

/** A keyring, the keys of what it lists, and what making records takes. */
export interface Unlocked extends Surroundings {
  readonly keyring: Keyring
  /** Stay the caller's. */
  readonly sealKeys: SealKeys
}

/**
 * Gives a member what it needs to reach all that is active: a record of each root. One that nobody here has the key of may be a stranger's,
 * and is in nobody's way.
 *
 * @throws {KeyringError} as `addRecord`.
 */
export async function withRootRecords(unlocked: Unlocked, record: RecordInput): Promise<Keyring> {
  const { sealKeys } = unlocked
  let { keyring } = unlocked
  for (const { id: generationId } of rootGenerations(keyring)) {
    if (sealKeys.has(generationId)) keyring = await addRecord({ ...unlocked, ...record, keyring, generationId })
  }
  return keyring
}

/** The public half of a set of shares, the seal that it belongs to, and what people call it. */
export interface NamedSet extends Pick<CreatedShareSet, 'wrappingKey' | 'memberId' | 'data'> {
  readonly sealName: string
  readonly label: string
}

/** With records for a new set of shares. @throws {KeyringError} as `addRecord`. */
export async function withShareSet(unlocked: Unlocked, set: NamedSet): Promise<Keyring> {
  return await withRootRecords(unlocked, recordForShares(set))
}

/** How a record is made for a set of shares. */
export function recordForShares({
  sealName,
  label,
  wrappingKey,
  memberId,
  data,
}: NamedSet): RecordInput & Pick<NamedSet, 'label'> {
  const member = shamirRemoteMember({ wrappingKey, memberId })
  return { sealName, label, data, wrappingKey, member, method: member.method }
}

/**
 * Gives every set of shares a record of one generation: nobody could make one for them later without the seal key.
 *
 * A set in a seal that was removed gets nothing: a record for it would bring the seal back.
 *
 * @throws {KeyringError} as `addRecord`.
 */
export async function withSharesOf(unlocked: Unlocked, { id: generationId }: Generation): Promise<Keyring> {
  let { keyring } = unlocked
  for (const member of keyring.members) {
    const seal = keyring.seals.find(({ sealId }) => sameBytes(sealId, member.sealId))
    if (member.state !== 'active' || seal?.state !== 'active' || seal.sealType !== 'shamir') continue
    const standIn = standInFor(keyring, seal, member)
    if (standIn.kind === 'cannot' || !sameBytes(standIn.member.memberId, member.memberId)) continue
    const record = { ...standIn, sealName: seal.name, label: member.label }
    keyring = await addRecord({ ...unlocked, ...record, keyring, generationId })
  }
  return keyring
}

/**
 * Proves that shares open a keyring, and every record that their set has in it, as people would.
 *
 * @param shares - stay the caller's.
 * @throws {ShamirError}; {KeyringError} as `proveRecords`, `KEYRING_NO_RECORD` if it does not know the set.
 */
export async function proveByShares(
  keyring: Keyring,
  {
    sealName,
    memberId,
    shares,
  }: { readonly sealName: string; readonly memberId: Uint8Array; readonly shares: readonly Share[] },
  signal: AbortSignal,
): Promise<void> {
  const seal = findSeal(keyring, sealName)
  const listed = keyring.members.find(member => sameBytes(member.memberId, memberId))
  if (seal === undefined || listed === undefined) {
    throw new KeyringError('KEYRING_NO_RECORD', 'the set of shares is not in the keyring')
  }
  using privateKey = privateKeyOf(keyring, listed, shares)
  await proveRecords({ keyring, sealId: seal.sealId, member: shamirSealMember({ privateKey }), signal })
}

function privateKeyOf({ clusterId }: Keyring, member: Member, shares: readonly Share[]) {
  const nonce = randomBytes(NONCE_BYTES).toString('hex')
  let ceremony = beginCeremony({ set: readShareSet({ clusterId, member }), nonce })
  for (const share of shares) {
    if (ceremony.kind !== 'collecting') break
    ceremony = next(ceremony, { kind: 'share', nonce, share: { ...share, value: share.value.clone() } })
  }
  if (ceremony.kind === 'failed') throw ceremony.error
  if (ceremony.kind === 'collecting') throw new TypeError('a set has at least as many shares as it needs')
  return ceremony.privateKey
}
