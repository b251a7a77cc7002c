import { type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { isName } from './byte-reader.ts'
import { compareBytes, hex, sameBytes } from '@sealwright/bytes'
import { deriveMacKey, deriveSealId } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import {
  chosenGeneration,
  findSeal,
  type Generation,
  type Keyring,
  type KeyringContents,
  type KeyringRecord,
  type Member,
  type Seal,
} from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { type RecordMethod, sealTypeOf } from './registry.ts'
import { removedMember } from './remove.ts'
import { assertOrdinaryGrowth } from './room.ts'
import { type SealKeys } from './seal-keys.ts'
import { ID_BYTES, KEY_BYTES, type SealMember } from './seal.ts'
import { tidy } from './tidy.ts'
import { compareMembers, compareRecords, compareSeals } from './validate.ts'
import { wrapForRecord } from './wrapped-key.ts'

/** For whom a record is made, and how. */
export interface RecordInput {
  /** The name of the seal now. An active seal of this name and type is joined, else it is made. */
  readonly sealName: string
  /** Only seals a KEK; whoever has the member's public key alone can stand in for it. */
  readonly member: Pick<SealMember, 'sealType' | 'memberId' | 'wrappingKey' | 'sealKek'>
  readonly method: RecordMethod
  /** For people, such as the node's name. */
  readonly label: string
  /** The member's public key for wrapping; absent: what the member says, or as it stands in the keyring. */
  readonly wrappingKey?: Uint8Array
  /** What the seal type wants kept for this member; absent: as it stands in the keyring, at first none. */
  readonly data?: Uint8Array
}

/** Clock, randomness and patience. */
export interface Surroundings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly randomBytes: RandomBytes
  readonly signal: AbortSignal
}

/**
 * Makes one more way in: a fresh KEK, sealed by the member, wraps the seal key of one generation. Seal and member are listed
 * if they were not; the record that the member had of this generation is superseded.
 *
 * @param input.sealKeys - hold the key of that generation and of the current one; stay the caller's.
 * @returns The next revision of the keyring. The one given in stays as it is. What the member throws passes through.
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `keyring` is not authentic; `KEYRING_KEY_UNKNOWN`,
 *   `KEYRING_NAME_TAKEN`, `KEYRING_INPUT_INVALID`, `KEYRING_NO_ROOM` unless it is part of a break, `KEYRING_TOO_LARGE`.
 */
export async function addRecord(
  input: RecordInput & {
    readonly keyring: Keyring
    readonly sealKeys: SealKeys
    /** 16 bytes, of one that is not retired; absent: the current generation. */
    readonly generationId?: Uint8Array
  } & Surroundings,
): Promise<Keyring> {
  const { keyring, sealKeys } = input
  const current = currentGeneration(keyring)
  const macKey = deriveMacKey(sealKeys.of(current.id), keyring.clusterId)
  assertAuthentic(keyring, macKey)
  const generation = input.generationId === undefined ? current : chosenGeneration(keyring, input.generationId)
  if (generation.state === 'retired') {
    throw inputInvalid(`generation ${generation.number} (${generation.keyId}) is retired`)
  }
  const placed = await placeRecord(keyring, sealKeys.of(generation.id), { ...input, generation })
  const contents = tidy({ ...placed, revision: keyring.revision + 1 })
  const isOfBreak = generation.step === 'broken' && generation.state === 'pending'
  if (!isOfBreak) assertOrdinaryGrowth(keyring, contents)
  return authenticate(contents, macKey)
}

/** The contents with the new record in place, and with it its seal and member; not yet authenticated. */
export async function placeRecord(
  contents: KeyringContents,
  sealKey: Secret,
  input: RecordInput & Surroundings & { readonly generation: Generation },
): Promise<KeyringContents> {
  const { member, method, generation, now, randomBytes, signal } = input
  assertInput(input)
  const createdAtMs = readClock(now)
  const { clusterId } = contents
  const seal = joinSeal(contents, input)
  const listed = joinMember(contents, seal, input)
  const kek = new Secret(randomBytes(KEY_BYTES))
  try {
    if (kek.byteLength !== KEY_BYTES) throw inputInvalid(`the random source gave ${kek.byteLength} bytes`)
    const sealedKek = Uint8Array.from(await member.sealKek(kek, { signal }))
    const { sealId, memberId } = listed
    const place = { sealId, memberId, generationId: generation.id }
    const record: KeyringRecord = {
      ...place,
      entryVersion: 1,
      method,
      createdAtMs,
      sealedKek,
      wrappedKey: wrapForRecord(sealKey, kek, { binding: { ...place, clusterId, method, sealedKek }, randomBytes }),
    }
    const superseded = contents.records.find(other => compareRecords(other, record) === 0)
    return {
      ...contents,
      seals: placeEntry(contents.seals, seal, compareSeals),
      members: placeEntry(membersWithoutFormer(contents, seal), listed, compareMembers),
      records: placeEntry(contents.records, succeed(superseded, record), compareRecords),
    }
  } finally {
    kek.wipe()
  }
}

/** `record` as the one that comes after `former`. */
function succeed(former: KeyringRecord | undefined, record: KeyringRecord): KeyringRecord {
  return former === undefined ? record : { ...record, entryVersion: former.entryVersion + 1 }
}

/** The list with `entry` in its place, instead of the one that was there. */
function placeEntry<Entry>(entries: readonly Entry[], entry: Entry, compare: (a: Entry, b: Entry) => number): Entry[] {
  return [...entries.filter(other => compare(other, entry) !== 0), entry].sort(compare)
}

function joinSeal(contents: KeyringContents, { sealName, member: { sealType } }: RecordInput): Seal {
  const named = findSeal(contents, sealName)
  if (named !== undefined) {
    if (named.sealType === sealType) return named
    throw new KeyringError('KEYRING_NAME_TAKEN', `${sealName} is a seal of type ${named.sealType}, not ${sealType}`)
  }
  const sealId = deriveSealId(contents.clusterId, sealType, sealName)
  const former = contents.seals.find(seal => sameBytes(seal.sealId, sealId))
  if (former?.state === 'active') {
    // The name that this id stands for was given up in a renaming. Two seals must not share an id.
    throw new KeyringError(
      'KEYRING_NAME_TAKEN',
      `${sealName} was the first name of the seal that is now ${former.name}`,
    )
  }
  return { sealId, entryVersion: (former?.entryVersion ?? 0) + 1, state: 'active', sealType, name: sealName }
}

/**
 * The members, but for those of a removed seal that comes back. It was removed with all of them; whoever had an old key can have listed more
 * since, which nobody sees until then.
 */
function membersWithoutFormer({ seals, members }: KeyringContents, { sealId }: Seal): readonly Member[] {
  if (!seals.some(seal => sameBytes(seal.sealId, sealId) && seal.state === 'removed')) return members
  const isFormer = (member: Member): boolean => sameBytes(member.sealId, sealId) && member.state === 'active'
  return members.map(member => (isFormer(member) ? removedMember(member) : member))
}

function joinMember(contents: KeyringContents, { sealId }: Seal, input: RecordInput): Member {
  const memberId = Uint8Array.from(input.member.memberId)
  const former = contents.members.find(
    member => sameBytes(member.sealId, sealId) && sameBytes(member.memberId, memberId),
  )
  const next: Member = {
    sealId,
    memberId,
    entryVersion: (former?.entryVersion ?? 0) + 1,
    state: 'active',
    label: input.label,
    wrappingKey: Uint8Array.from(input.wrappingKey ?? input.member.wrappingKey ?? former?.wrappingKey ?? []),
    data: Uint8Array.from(input.data ?? former?.data ?? []),
  }
  return former !== undefined && isSameMember(former, next) ? former : next
}

function isSameMember(a: Member, b: Member): boolean {
  return (
    a.state === b.state &&
    a.label === b.label &&
    compareBytes(a.wrappingKey, b.wrappingKey) === 0 &&
    compareBytes(a.data, b.data) === 0
  )
}

function assertInput({ sealName, member, method, label }: RecordInput): void {
  if (!isName(sealName)) throw inputInvalid('the seal name is not 1 to 64 printable ASCII characters')
  if (!isName(label)) throw inputInvalid('the label is not 1 to 64 printable ASCII characters')
  if (member.memberId.byteLength !== ID_BYTES) {
    throw inputInvalid(`member id ${hex(member.memberId)} has not ${ID_BYTES} bytes`)
  }
  if (sealTypeOf(method) !== member.sealType)
    throw inputInvalid(`method ${method} for a member of type ${member.sealType}`)
}

function readClock(now: () => number): number {
  const nowMs = now()
  if (!Number.isSafeInteger(nowMs) || nowMs < 0) throw inputInvalid('the clock does not give whole milliseconds')
  return nowMs
}

function inputInvalid(reason: string): KeyringError {
  return new KeyringError('KEYRING_INPUT_INVALID', reason)
}
