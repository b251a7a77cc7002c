import {
  addRecord,
  createKeyring,
  findRecords,
  findSeal,
  type Keyring,
  type KeyringRecord,
  matchSealKey,
  type RecordInput,
  type SealMember,
  type Surroundings,
} from '@sealwright/keyring'
import { classifySealFailure, type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealFailure } from '@sealwright/unseal'
import { BootstrapError } from './errors.ts'
import { type HandedKey } from './seal-key.ts'

/** Whom to give a way in. */
export interface EnrolmentInput extends Surroundings {
  /** What is stored; `undefined` on a new node. */
  readonly current: Keyring | undefined
  readonly handedKey: HandedKey
  /** The seals of this node that are not disabled; at least one. */
  readonly seals: readonly ConfiguredSeal[]
  /** For people, such as the node's name. */
  readonly label: string
}

/** What has to be written, if anything. */
export interface Enrolment {
  /** `current` itself if nothing was missing. */
  readonly keyring: Keyring
  /** Names of the seals that have a new record. */
  readonly enrolled: ReadonlySet<string>
  /** Whether a record was made anew in the place of one with other conditions. */
  readonly hasRenewed: boolean
  /** Seals that could not be looked at now. Only on a node that was bootstrapped before: a new node needs them all. */
  readonly unreachable: ReadonlyMap<string, SealFailure>
}

/**
 * Makes the keyring in which the device that each seal has now holds the current seal key, under the conditions that are configured.
 * Records are added; and one of that device which was made under other conditions gives its place to a new one. So the result may
 * be stored only after each seal in `enrolled` was proven to open all its records.
 *
 * @throws {@link BootstrapError} `BOOTSTRAP_KEY_ID`.
 * @throws {KeyringError} `KEYRING_OTHER_KEY` before any device is asked, and the codes of `matchSealKey` and `addRecord`.
 *   What a seal throws passes through, unless it is transient and the node was bootstrapped before: a TPM that comes late
 *   must not keep such a node down.
 */
export async function enrolSeals({ current, handedKey, seals, ...making }: EnrolmentInput): Promise<Enrolment> {
  if (current !== undefined) assertOurKey(current, handedKey)
  const enrolled = new Set<string>()
  const unreachable = new Map<string, SealFailure>()
  let keyring = current
  let hasRenewed = false
  for (const seal of seals) {
    try {
      const before = keyring
      const result = await seal.withLocalMember(
        making.signal,
        async member => await withRecords(before, handedKey, seal, recordFor(seal, member, making)),
      )
      keyring = result.keyring
      hasRenewed ||= result.hasRenewed
      if (keyring !== before) enrolled.add(seal.name)
    } catch (error) {
      making.signal.throwIfAborted()
      const failure = classifySealFailure(error)
      if (current === undefined || failure.kind !== 'transient') throw error
      unreachable.set(seal.name, failure)
    }
  }
  if (keyring === undefined) throw new TypeError('a bootstrap needs at least one seal')
  return { keyring, enrolled, hasRenewed, unreachable }
}

type NewRecord = RecordInput & Surroundings & { readonly member: SealMember }

function recordFor(
  { name: sealName, method }: ConfiguredSeal,
  member: SealMember,
  making: Surroundings & { readonly label: string },
): NewRecord {
  return { ...making, sealName, method, member }
}

/** `keyring` itself if the member holds the current seal key already, under the conditions that are configured. */
async function withRecords(
  keyring: Keyring | undefined,
  { sealKey, keyId }: HandedKey,
  seal: ConfiguredSeal,
  record: NewRecord,
): Promise<{ readonly keyring: Keyring; readonly hasRenewed: boolean }> {
  if (keyring === undefined) return { keyring: await createKeyring({ ...record, sealKey, keyId }), hasRenewed: false }
  const records = recordsOf(keyring, record)
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    // A generation whose key is out of reach keeps its record: where that is too weak, the proof will say so.
    const outdated = records.filter(
      ({ generation, sealedKek }) =>
        sealKeys.generations.includes(generation) && seal.compareConditions(sealedKek) !== 'same',
    )
    const places = outdated.map(({ generation, slot }) => ({ generation, slot }))
    const { currentGeneration } = keyring
    if (!records.some(({ generation }) => generation === currentGeneration)) {
      places.push({ generation: currentGeneration, slot: 0 })
    }
    let next = keyring
    for (const place of places) next = await addRecord({ ...record, ...place, keyring: next, sealKeys })
    return { keyring: next, hasRenewed: outdated.length > 0 }
  } finally {
    sealKeys.wipe()
  }
}

function recordsOf(keyring: Keyring, { sealName, member: { memberId } }: NewRecord): readonly KeyringRecord[] {
  const seal = findSeal(keyring, sealName)
  return seal === undefined ? [] : findRecords(keyring, { sealId: seal.sealId, memberId })
}

/** Another key must not come in, and one key must not go by two names: blobs carry the name, and other nodes look for it. */
function assertOurKey(keyring: Keyring, { sealKey, keyId }: HandedKey): void {
  const sealKeys = matchSealKey({ keyring, sealKey })
  try {
    // The handed key is the oldest one that it leads to.
    const [handed] = sealKeys.generations
    const known = keyring.generations.find(({ number }) => number === handed)?.keyId
    if (keyId === undefined || known === keyId) return
    throw new BootstrapError(
      'BOOTSTRAP_KEY_ID',
      `this key is stored as ${String(known)}, and key-id now says ${keyId}: go back to the first name, or leave key-id out`,
    )
  } finally {
    sealKeys.wipe()
  }
}
