import { sameBytes } from '@sealwright/bytes'
import {
  addRecord,
  findMember,
  findRecords,
  findSeal,
  findSealRecords,
  type Keyring,
  KeyringError,
  type Member,
  type RecordMethod,
  rootGenerations,
  type SealKeys,
  type SealMember,
  type Surroundings,
} from '@sealwright/keyring'
import { type SealFailure } from '@sealwright/unseal'
import { classifySealFailure } from './classify.ts'
import { type ConfiguredSeal } from './configured-seal.ts'

/** What tending needs, beside clock, randomness and patience. */
export interface TendInput extends Surroundings {
  readonly keyring: Keyring
  /** Hold the keys of all active generations that records are made of; stay the caller's. */
  readonly sealKeys: SealKeys
  /** The seals to look after. */
  readonly seals: readonly ConfiguredSeal[]
  /** For a member that is new, such as the node's name; a device that is listed keeps its own, in another seal, too. */
  readonly label: string
  /** Whether an operator wants seals and members back that were removed. Default: no. */
  readonly readdRemoved?: boolean
  /** Whether an operator lets in whatever device a seal has now, if it was not removed itself. Default: no. */
  readonly admitStrangers?: boolean
}

/** What came of it. */
export interface Tended {
  /** The one given in, if nothing was missing. */
  readonly keyring: Keyring
  /** Names of the seals that have a new record: prove them before the keyring is stored. */
  readonly renewed: readonly string[]
  /** Seals that could not be looked at now, by name. */
  readonly failures: ReadonlyMap<string, SealFailure>
}

/**
 * Whether {@link tendSeals} may find something to do. Asks no device: some of the members may be of other nodes.
 *
 * @param keyIds - of the generations that are held. Of others no record can be made here: somebody may have planted hundreds.
 */
export function mayNeedTending(keyring: Keyring, seals: readonly ConfiguredSeal[], keyIds: readonly string[]): boolean {
  const held = keyring.generations.filter(({ keyId }) => keyIds.includes(keyId)).map(({ id }) => id)
  const roots = rootGenerations(keyring).flatMap(({ id }) => (includesId(held, id) ? [id] : []))
  return seals.some(({ name }) => {
    const seal = findSeal(keyring, name)
    if (seal === undefined) return !wasRemoved(keyring, name)
    const sealId = Buffer.from(seal.sealId)
    return keyring.members
      .filter(member => member.state === 'active' && sealId.equals(member.sealId))
      .some(
        member =>
          lackingGenerations(keyring, { roots, place: member, method: undefined }).length > 0 ||
          findRecords(keyring, member).some(
            ({ method, generationId }) => method === 'tpm-imported' && includesId(held, generationId),
          ),
      )
  })
}

/**
 * Gives the members that this node has now what they lack: a record of their own making of each generation from which the others can
 * be reached. So a record that another node made for them is replaced, and an old generation is needed no longer.
 *
 * A seal that is new to the keyring gets its first one. A device that is a stranger to a listed seal gets none, nor one that was removed
 * from it: that takes an operator.
 *
 * @throws {KeyringError} as `addRecord`. What a seal throws is among the failures.
 */
export async function tendSeals(input: TendInput): Promise<Tended> {
  const { seals, signal } = input
  let { keyring } = input
  const renewed: string[] = []
  const failures = new Map<string, SealFailure>()
  for (const seal of seals) {
    // What was taken away anywhere must not come back by itself from a node that still has it in its configuration.
    if (input.readdRemoved !== true && wasRemoved(keyring, seal.name)) continue
    const before = keyring
    try {
      assertHasMembers(input, keyring, seal.name)
      keyring = await seal.withLocalMember({ knownIn: before, signal }, member =>
        withOwnRecords({ ...input, keyring: before }, seal, member),
      )
      if (keyring !== before) renewed.push(seal.name)
    } catch (error) {
      signal.throwIfAborted()
      failures.set(seal.name, classifySealFailure(error))
    }
  }
  return { keyring, renewed, failures }
}

/** Whether a seal of this name was removed, and there is no other one. */
function wasRemoved(keyring: Keyring, sealName: string): boolean {
  return findSeal(keyring, sealName) === undefined && keyring.seals.some(({ name }) => name === sealName)
}

/**
 * With its last member revoked, a seal has no record left to tell a known device by: so none is asked.
 *
 * @throws {KeyringError} `KEYRING_NO_RECORD`.
 */
function assertHasMembers({ readdRemoved, admitStrangers }: TendInput, keyring: Keyring, sealName: string): void {
  const seal = findSeal(keyring, sealName)
  if (seal === undefined || readdRemoved === true || admitStrangers === true) return
  const isOf = ({ sealId, state }: Member): boolean => state === 'active' && sameBytes(sealId, seal.sealId)
  if (!keyring.members.some(isOf)) throw keptOut(sealName, 'every member of it was removed')
}

/**
 * A revocation must not be undone by the node that it was meant for.
 *
 * @param listed - the member of this node, as it stands in the keyring.
 * @throws {KeyringError} `KEYRING_NO_RECORD`.
 */
function assertLetIn({ keyring, readdRemoved, admitStrangers }: TendInput, sealName: string, listed?: Member): void {
  if (findSeal(keyring, sealName) === undefined || readdRemoved === true) return
  if (listed?.state === 'removed') throw keptOut(sealName, 'the member of this node was removed from it')
  if (listed === undefined && admitStrangers !== true && findSealRecords(keyring, sealName).length === 0)
    throw keptOut(sealName, 'the device of this node is none of its members')
}

function keptOut(sealName: string, reason: string): KeyringError {
  return new KeyringError(
    'KEYRING_NO_RECORD',
    `the seal ${sealName} gets no record by itself, for ${reason}: if it is meant to open again, sealctl init --seal ${sealName}; ` +
      'else take it out of the configuration',
  )
}

async function withOwnRecords(input: TendInput, { name }: ConfiguredSeal, member: SealMember): Promise<Keyring> {
  const { sealKeys, label, now, randomBytes, signal } = input
  let { keyring } = input
  const seal = findSeal(keyring, name)
  const place = seal === undefined ? undefined : { sealId: seal.sealId, memberId: member.memberId }
  const listed = findMember(keyring, name, member.memberId)
  assertLetIn(input, name, listed)
  const generationIds =
    place === undefined
      ? rootIds(keyring)
      : lackingGenerations(keyring, { roots: rootIds(keyring), place, method: member.method })
  for (const generationId of generationIds) {
    // A generation out of reach from here is given by whoever reaches it.
    if (!sealKeys.has(generationId)) continue
    const called = listed?.label ?? labelOfDevice(keyring, member) ?? label
    const record = { sealName: name, member, method: member.method, label: called }
    keyring = await addRecord({ ...record, keyring, sealKeys, generationId, now, randomBytes, signal })
  }
  return keyring
}

/** What a device is called in the seals that it is an active member of already, if that is one name. */
function labelOfDevice({ members }: Keyring, { memberId }: SealMember): string | undefined {
  const same = members.filter(each => each.state === 'active' && sameBytes(each.memberId, memberId))
  const [label, ...others] = new Set(same.map(each => each.label))
  return others.length === 0 ? label : undefined
}

/**
 * The generations of which a member should have a record and has none, or none that it made itself.
 *
 * @param wanted.roots - ids of the generations that every member should have one of.
 * @param wanted.method - how the member makes records; `undefined`: any record will do.
 */
function lackingGenerations(
  keyring: Keyring,
  wanted: {
    readonly roots: readonly Uint8Array[]
    readonly place: { readonly sealId: Uint8Array; readonly memberId: Uint8Array }
    readonly method: RecordMethod | undefined
  },
): readonly Uint8Array[] {
  const { roots, place, method } = wanted
  const records = findRecords(keyring, place)
  const own = records.filter(record => method === undefined || record.method === method)
  const madeByOthers = records.filter(record => !own.includes(record)).map(({ generationId }) => generationId)
  const ownIds = own.map(({ generationId }) => generationId)
  return [...roots, ...madeByOthers.filter(id => !includesId(roots, id))].filter(id => !includesId(ownIds, id))
}

function rootIds(keyring: Keyring): readonly Uint8Array[] {
  return rootGenerations(keyring).map(({ id }) => id)
}

function includesId(ids: readonly Uint8Array[], id: Uint8Array): boolean {
  return ids.some(each => sameBytes(each, id))
}
