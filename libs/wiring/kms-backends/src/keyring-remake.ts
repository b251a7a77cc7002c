import { sameBytes } from '@sealwright/bytes'
import {
  addRecord,
  findMember,
  findRecords,
  findSealRecords,
  isSamePlace,
  type Keyring,
  type KeyringRecord,
  type KmsGeneration,
  kmsChain,
  proveRecords,
  type SealMember,
} from '@sealwright/keyring'
import { classifySealFailure, type ConfiguredSeal, type Unlocked } from '@sealwright/node-seals'
import { type SealFailure } from '@sealwright/unseal'
import { KmsKeyringError } from './keyring-error.ts'

/** A record that came with an earlier keyring and does not open: there is a new one in its place. */
export interface RemadeRecord {
  readonly sealName: string
  readonly version: number
  /** Why the one that came does not open. */
  readonly code: string
}

export interface Remade {
  readonly keyring: Keyring
  readonly remade: readonly RemadeRecord[]
}

export interface RemakeInput extends Unlocked {
  /** What this node had before records came to it. */
  readonly before: Keyring
  readonly seals: readonly ConfiguredSeal[]
  /** Name of the seal that opened `before`. */
  readonly openedBy: string
  /** For a member that is new. */
  readonly label: string
  /** Gets those of seals that could not be asked now. */
  readonly failures: Map<string, SealFailure>
}

/**
 * Opens each record that has come to a seal of this node, and makes anew what does not open: it could keep a seal from opening that did before.
 * Nothing that was there before is lost by it.
 *
 * A device that is out of reach now is left as it is, but for the one that has just opened the keyring.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION` if such a record cannot be made anew; as `addRecord`; what the seal `openedBy` throws
 *   when it cannot be asked.
 */
export async function remakeRecords(input: RemakeInput): Promise<Remade> {
  const { before, seals, openedBy, failures, signal } = input
  let { keyring } = input
  const remade: RemadeRecord[] = []
  for (const seal of seals) {
    if (cameTo(before, findSealRecords(keyring, seal.name)).length === 0) continue
    try {
      const broken = await brokenRecords(seal, { ...input, keyring })
      for (const { record, code } of broken) {
        const generation = mendable(keyring, record, { sealName: seal.name, code })
        keyring = await withNewRecord(seal, generation, { ...input, keyring })
        remade.push({ sealName: seal.name, version: generation.number, code })
      }
    } catch (error) {
      signal.throwIfAborted()
      if (seal.name === openedBy || error instanceof KmsKeyringError) throw error
      failures.set(seal.name, classifySealFailure(error))
    }
  }
  return { keyring, remade }
}

interface BrokenRecord {
  readonly record: KeyringRecord
  readonly code: string
}

/** Those that have come to the member of this node and do not open, though the device answers. */
async function brokenRecords(
  seal: ConfiguredSeal,
  { before, keyring, signal }: RemakeInput,
): Promise<readonly BrokenRecord[]> {
  return await seal.withRecordedMember(keyring, signal, async (member, sealId) => {
    const broken: BrokenRecord[] = []
    for (const record of cameTo(before, findRecords(keyring, { sealId, memberId: member.memberId }))) {
      // So it is the only one that is opened.
      const former = { ...keyring, records: keyring.records.filter(each => each !== record) }
      try {
        await proveRecords({ former, keyring, sealId, member, signal, mayGoOn: isPermanent })
      } catch (error) {
        signal.throwIfAborted()
        if (!isPermanent(error)) throw error
        broken.push({ record, code: classifySealFailure(error).code })
      }
    }
    return broken
  })
}

/** What asking again would not change, and costs no try of a PIN. */
function isPermanent(error: unknown): boolean {
  return classifySealFailure(error).kind === 'permanent'
}

function cameTo(before: Keyring, records: readonly KeyringRecord[]): readonly KeyringRecord[] {
  return records.filter(record => !before.records.some(each => isSamePlace(each, record)))
}

/** @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`. */
function mendable(
  keyring: Keyring,
  { generationId }: KeyringRecord,
  { sealName, code }: { readonly sealName: string; readonly code: string },
): Omit<KmsGeneration, 'key'> {
  const generation = kmsChain(keyring).find(({ id }) => sameBytes(id, generationId))
  if (generation?.state === 'active') return generation
  throw notRemade(
    `the record of ${sealName} for version ${generation?.number ?? 'unknown'} in that keyring does not open (${code}), and none can be made of a version that stays retired`,
  )
}

async function withNewRecord(
  seal: ConfiguredSeal,
  { id: generationId }: Omit<KmsGeneration, 'key'>,
  { keyring, sealKeys, label, now, randomBytes, signal }: RemakeInput,
): Promise<Keyring> {
  const next = await seal.withLocalMember({ knownIn: keyring, signal }, async (member: SealMember) => {
    const called = findMember(keyring, seal.name, member.memberId)?.label ?? label
    const record = { sealName: seal.name, member, method: member.method, label: called, generationId }
    return await addRecord({ ...record, keyring, sealKeys, now, randomBytes, signal })
  })
  // The new record may make others spare: those that came have not all been opened.
  const isKept = keyring.records.every(each => next.records.some(other => isSamePlace(each, other)))
  if (isKept) return next
  throw notRemade(`the record of ${seal.name} cannot be made anew without taking others away`)
}

function notRemade(reason: string): KmsKeyringError {
  return new KmsKeyringError(
    'KMS_KEYRING_VERSION',
    `${reason}: nothing was changed. Take another copy or export from before, or do this on another node`,
  )
}
