import { sameBytes } from '@sealwright/bytes'
import {
  addRecord,
  createKeyring,
  currentGeneration,
  findKeyGeneration,
  findMember,
  findRecords,
  findSeal,
  type Keyring,
  type KeyringRecord,
  leadsToCurrent,
  matchSealKey,
  type RecordInput,
  type SealMember,
  type Surroundings,
} from '@sealwright/keyring'
import { classifySealFailure, type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealFailure } from '@sealwright/unseal'
import { BootstrapError } from './errors.ts'
import { type HandedKey } from './handed-key.ts'
import { needsResealing } from './reseal.ts'

/** What an operator allows once, by hand: each takes somebody's word that a change of the machine was meant. */
export interface Permissions {
  /** Give a record to a device that has none, although the seal has records of others. */
  readonly newTpm: boolean
  /** Make records anew that do not open, since the PCRs changed or the sealed key was damaged. Tries PINs. */
  readonly reseal: boolean
}

/** Whom to give a way in. */
export interface EnrolmentInput extends Surroundings {
  readonly permissions: Permissions
  /** What is stored; `undefined` on a new node. */
  readonly current: Keyring | undefined
  readonly handedKey: HandedKey
  /** The seals of this node that are not disabled; at least one. */
  readonly seals: readonly ConfiguredSeal[]
  /** For people, such as the node's name. A member that is listed keeps its own. */
  readonly label: string
}

/** What has to be written, if anything. */
export interface Enrolment {
  /** `current` itself if nothing was missing. */
  readonly keyring: Keyring
  /** Names of the seals that have a new record. */
  readonly enrolled: ReadonlySet<string>
  /** Whether a record was made anew in its place. */
  readonly hasRenewed: boolean
  /**
   * Seals that could not be looked at now, and those that were removed, or whose device was: `KEYRING_NO_RECORD`. Only on a node that was
   * bootstrapped before: a new node needs them all.
   */
  readonly unreachable: ReadonlyMap<string, SealFailure>
}

/** Instead of a keyring: nothing may be made for this seal. */
const REMOVED = Symbol('removed')

/**
 * Makes the keyring in which the device that each seal has now holds the current seal key, under the conditions that are configured.
 * Records are added; and one of that device which was made under other conditions, or with `reseal` does not open, gives its place
 * to a new one. So the result may be stored only after each seal in `enrolled` was proven to open all its records. What was removed from
 * the keyring comes back only with `newTpm`: somebody may have revoked this very machine.
 *
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_ID`, `BOOTSTRAP_KEY_RETIRED`.
 * @throws {TpmError} `TPM_CLEARED`, `TPM_REPLACED` for a device that is a stranger to its seal, without `newTpm`.
 * @throws {KeyringError} `KEYRING_OTHER_KEY` before any device is asked, and the codes of `matchSealKey` and `addRecord`.
 *   What a seal throws passes through, unless it is transient and the node was bootstrapped before: a TPM that comes late
 *   must not keep such a node down.
 */
export async function enrolSeals(input: EnrolmentInput): Promise<Enrolment> {
  const { current, handedKey, seals, signal, permissions } = input
  // Also authenticates it: only then does it say which devices are known.
  if (current !== undefined) assertOurKey(current, handedKey)
  const knownIn = permissions.newTpm ? undefined : current
  const enrolled = new Set<string>()
  const unreachable = new Map<string, SealFailure>()
  let keyring = current
  let hasRenewed = false
  for (const seal of seals) {
    try {
      const before = keyring
      const isRemoved = knownIn !== undefined && isSealRemoved(knownIn, seal.name)
      const result = isRemoved
        ? REMOVED
        : await seal.withLocalMember({ knownIn, signal }, async member =>
            knownIn !== undefined && isMemberRemoved(knownIn, seal.name, member)
              ? REMOVED
              : await withRecords(before, seal, member, input),
          )
      if (result === REMOVED) {
        unreachable.set(seal.name, removedFailure(seal.name))
        continue
      }
      keyring = result.keyring
      hasRenewed ||= result.hasRenewed
      if (keyring !== before) enrolled.add(seal.name)
    } catch (error) {
      signal.throwIfAborted()
      const failure = classifySealFailure(error)
      if (current === undefined || failure.kind !== 'transient') throw error
      unreachable.set(seal.name, failure)
    }
  }
  if (keyring === undefined) throw new TypeError('a bootstrap needs at least one seal')
  return { keyring, enrolled, hasRenewed, unreachable }
}

/** Whether the keyring has had a seal of this name, and has none now. */
function isSealRemoved(keyring: Keyring, sealName: string): boolean {
  return findSeal(keyring, sealName) === undefined && keyring.seals.some(({ name }) => name === sealName)
}

function isMemberRemoved(keyring: Keyring, sealName: string, { memberId }: SealMember): boolean {
  return findMember(keyring, sealName, memberId)?.state === 'removed'
}

function removedFailure(sealName: string): SealFailure {
  return {
    code: 'KEYRING_NO_RECORD',
    message:
      `the seal ${sealName}, or the device that this node has for it, was removed from the cluster, and gets no record: if it is meant to open ` +
      'again, --new-tpm; else take it out of the configuration',
    kind: 'permanent',
  }
}

/** `keyring` itself if the member holds the current seal key already, under the conditions that are configured. */
async function withRecords(
  keyring: Keyring | undefined,
  seal: ConfiguredSeal,
  member: SealMember,
  { handedKey: { sealKey, keyId }, permissions, label, now, randomBytes, signal }: EnrolmentInput,
): Promise<{ readonly keyring: Keyring; readonly hasRenewed: boolean }> {
  const { method } = member
  const record: RecordInput & Surroundings = { sealName: seal.name, method, member, label, now, randomBytes, signal }
  if (keyring === undefined) return { keyring: await createKeyring({ ...record, sealKey, keyId }), hasRenewed: false }
  const listed = findMember(keyring, seal.name, member.memberId)
  const named = listed?.state === 'active' ? { ...record, label: listed.label } : record
  const records = recordsOf(keyring, seal.name, member)
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    // Where a key is out of reach its record stays: if it does not open, or is too weak, the proof will say so.
    const outdated: KeyringRecord[] = []
    for (const candidate of records.filter(({ generationId }) => sealKeys.has(generationId))) {
      const hasOtherConditions = seal.compareConditions(candidate.sealedKek) !== 'same'
      if (hasOtherConditions || (permissions.reseal && (await needsResealing(member, candidate, signal)))) {
        outdated.push(candidate)
      }
    }
    const generationIds = outdated.map(({ generationId }) => generationId)
    const { id: currentId } = currentGeneration(keyring)
    if (!records.some(({ generationId }) => sameBytes(generationId, currentId))) generationIds.push(currentId)
    let next = keyring
    for (const generationId of generationIds)
      next = await addRecord({ ...named, generationId, keyring: next, sealKeys })
    return { keyring: next, hasRenewed: outdated.length > 0 }
  } finally {
    sealKeys.wipe()
  }
}

function recordsOf(keyring: Keyring, sealName: string, { memberId }: SealMember): readonly KeyringRecord[] {
  const seal = findSeal(keyring, sealName)
  return seal === undefined ? [] : findRecords(keyring, { sealId: seal.sealId, memberId })
}

/** Another key must not come in, and one key must not go by two names: blobs carry the name, and other nodes look for it. */
function assertOurKey(keyring: Keyring, { sealKey, keyId }: HandedKey): void {
  const generation = findKeyGeneration({ keyring, sealKey })
  if (generation !== undefined && !leadsToCurrent(keyring, [{ generationId: generation.id }])) {
    const { number, keyId: name, state } = generation
    throw new BootstrapError(
      'BOOTSTRAP_KEY_RETIRED',
      `this is the seal key of generation ${number} (${name}), which ` +
        (state === 'retired' ? 'was retired by a rotation' : 'does not lead on since the chain was broken') +
        ': let this node in with sealctl enroll or sealctl recover, or take the key away. Nothing was changed',
    )
  }
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    // The handed key is the oldest one that it leads to.
    const known = keyring.generations.find(({ id }) => sealKeys.has(id))?.keyId
    if (keyId === undefined || known === keyId) return
    throw new BootstrapError(
      'BOOTSTRAP_KEY_ID',
      `this key is stored as ${String(known)}, and key-id now says ${keyId}: go back to the first name, or leave key-id out`,
    )
  } finally {
    sealKeys.wipe()
  }
}
