import { type Secret } from '@sealwright/secret'

import { assertAuthentic } from './authenticate.ts'
import { hex } from '@sealwright/bytes'
import { climb, planRecords } from './climb.ts'
import { assertSealKey, deriveMacKey, isKeyOf } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findRecords, type Generation, type Keyring, type KeyringRecord, requireGeneration } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { provesOrigin } from './registry.ts'
import { type SealMember } from './seal.ts'
import { unwrapRecord } from './wrapped-key.ts'

/**
 * The plain seal keys of a keyring, for as long as something has to be wrapped. Wipe it soon: what runs for long needs an
 * `OpenKeyring` only.
 */
export class SealKeys {
  readonly #keys: ReadonlyMap<string, Secret>
  /**
   * Whether a record was opened that nobody but its member can have made. If not, the keyring is one that hangs together, yet
   * may be of somebody else's making: trust it only with a cluster id that is known from elsewhere.
   */
  readonly isOriginProven: boolean

  /**
   * Takes ownership of the keys.
   *
   * @param keys - by the id of their generation, in hex.
   */
  constructor(keys: ReadonlyMap<string, Secret>, isOriginProven: boolean) {
    this.#keys = keys
    this.isOriginProven = isOriginProven
  }

  /** Whether the seal key of this generation is held. */
  has(generationId: Uint8Array): boolean {
    return this.#keys.has(hex(generationId))
  }

  /**
   * The seal key of one generation, still owned here.
   *
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN`.
   */
  of(generationId: Uint8Array): Secret {
    const key = this.#keys.get(hex(generationId))
    if (key !== undefined) return key
    throw new KeyringError('KEYRING_KEY_UNKNOWN', `the seal key of generation ${hex(generationId)} is not held`)
  }

  /** With one key more. Takes ownership of it; this one's keys are shared and wiped with either. */
  with(generationId: Uint8Array, sealKey: Secret): SealKeys {
    return new SealKeys(new Map([...this.#keys, [hex(generationId), sealKey]]), this.isOriginProven)
  }

  /** Overwrites all keys. */
  wipe(): void {
    for (const key of this.#keys.values()) key.wipe()
  }

  [Symbol.dispose](): void {
    this.wipe()
  }
}

/** Whose record opens the keyring. */
export interface UnwrapInput {
  readonly keyring: Keyring
  /** The seal that `member` belongs to: a TPM, for one, can be a member of two seals. */
  readonly sealId: Uint8Array
  readonly member: Pick<SealMember, 'memberId' | 'unsealKek'>
  readonly signal: AbortSignal
  /**
   * Whether another record may be tried after one has failed with this: not if that may have cost a try of a PIN. If left out: not after the
   * first record, and after each later one.
   *
   * @param progress.isOpen - whether the key of the current generation is held already: then all that is missing are old ones.
   */
  readonly mayGoOn?: (error: unknown, progress: { readonly isOpen: boolean }) => boolean
}

/** For how many records beyond the first a member is asked: whoever had an old key can plant as many as a keyring holds. */
const MAX_LATER_RECORDS = 32

/**
 * Unwraps the seal keys through one member: the oldest of its records from which links lead to the current generation, and then
 * whatever else it has records for. In the end the MAC of the keyring is checked under the current seal key.
 *
 * Whoever had an old key can plant records of a member, also such as come first, and links. So one that does not open is left out, and the
 * next one is tried if `mayGoOn` says so, up to 32 beyond the first: one more attempt with a wrong PIN could lock the device. Once the
 * current generation is reached, what is left out only adds old ones; before that, what the member threw first passes through as it is.
 *
 * @param keyring - decoded: its lineage was checked.
 * @returns The keys of every generation that was reached, the current one among them; owned by the caller, who wipes them.
 * @throws {@link KeyringError} `KEYRING_NO_RECORD`, `KEYRING_RECORD_AUTH_FAILED`, `KEYRING_LINK_BROKEN` or
 *   `KEYRING_AUTH_FAILED`.
 */
export async function unwrapSealKeys(input: UnwrapInput): Promise<SealKeys> {
  const { keyring, signal, mayGoOn = ifOpen } = input
  const current = hex(currentGeneration(keyring).id)
  const held = new Map<string, Secret>()
  let isOriginProven = false
  let failed: { readonly error: unknown } | undefined
  let brokenLink: KeyringError | undefined

  try {
    let asked = 0
    for (const record of planRecords(keyring, recordsOf(input))) {
      if (held.has(hex(record.generationId))) continue
      if (asked > MAX_LATER_RECORDS) break
      asked += 1
      try {
        held.set(hex(record.generationId), await unwrapThrough(input, record))
      } catch (error) {
        const isOpen = held.has(current)
        if (signal.aborted) throw isOpen ? signal.reason : error
        failed ??= { error }
        if (mayGoOn(error, { isOpen })) continue
        break
      }
      const fault = climb(keyring, held)
      brokenLink ??= fault
      isOriginProven ||= provesOrigin(record.method)
    }
    if (failed !== undefined && !held.has(current)) throw failed.error
    return authenticated(keyring, held, { isOriginProven, brokenLink })
  } catch (error) {
    wipeAll(held)
    throw error
  }
}

/**
 * Proves that a member opens the keyring, and that so does every record which it got by a change: each gives the seal key of its
 * generation. Opening alone asks for one record, or for few, and leaves out what fails. For what is about to take the place of records
 * that work.
 *
 * @param input.former - the keyring before the change. What a member had there is not at stake, and may be of somebody who had an old key:
 *   such a record must not keep anybody from a change. Without it, all records have to open.
 * @throws as {@link unwrapSealKeys}; at the first record that does not open, and no other is tried.
 */
export async function proveRecords(input: UnwrapInput & { readonly former?: Keyring | undefined }): Promise<void> {
  const { keyring, former } = input
  const records = recordsOf(input)
  const plan = planRecords(keyring, records)
  const before = new Set(former === undefined ? [] : findRecords(former, placeOf(input)).map(sealedKekOf))
  const isNew = (record: KeyringRecord): boolean => !before.has(sealedKekOf(record))
  const held = new Map<string, Secret>()
  try {
    for (const record of [...plan, ...records.filter(each => !plan.includes(each))].filter(isNew)) {
      held.set(hex(record.generationId), await unwrapThrough(input, record))
    }
    const brokenLink = climb(keyring, held)
    if (held.has(hex(currentGeneration(keyring).id)))
      authenticated(keyring, held, { isOriginProven: false, brokenLink })
    else (await unwrapSealKeys(input)).wipe()
  } finally {
    wipeAll(held)
  }
}

function ifOpen(_error: unknown, { isOpen }: { readonly isOpen: boolean }): boolean {
  return isOpen
}

/** What no two records have in common: it is made with a fresh KEK. */
function sealedKekOf({ generationId, sealedKek }: KeyringRecord): string {
  return `${hex(generationId)} ${hex(sealedKek)}`
}

function placeOf({ sealId, member: { memberId } }: UnwrapInput): Pick<KeyringRecord, 'sealId' | 'memberId'> {
  return { sealId, memberId }
}

function recordsOf(input: UnwrapInput): readonly KeyringRecord[] {
  const { sealId, memberId } = placeOf(input)
  const records = findRecords(input.keyring, { sealId, memberId })
  if (records.length > 0) return records
  throw new KeyringError('KEYRING_NO_RECORD', `member ${hex(memberId)} of seal ${hex(sealId)} has no record`)
}

/** The seal key of one record, owned by the caller: checked against its generation. */
async function unwrapThrough({ keyring, member, signal }: UnwrapInput, record: KeyringRecord): Promise<Secret> {
  const generation = requireGeneration(keyring, record.generationId)
  const kek = await member.unsealKek(record.sealedKek, { signal, method: record.method })
  try {
    return unwrapRecord(record, kek, { clusterId: keyring.clusterId, generation })
  } finally {
    kek.wipe()
  }
}

/**
 * Recognises a plain seal key as one of this keyring's, climbs from it and checks the MAC.
 *
 * @param input.sealKey - stays the caller's.
 * @returns As {@link unwrapSealKeys}.
 * @throws {@link KeyringError} `KEYRING_OTHER_KEY` if it is the key of another keyring; `KEYRING_SEAL_KEY_INVALID`,
 *   `KEYRING_LINK_BROKEN` or `KEYRING_AUTH_FAILED`.
 */
export function matchSealKey({ keyring, sealKey }: { readonly keyring: Keyring; readonly sealKey: Secret }): SealKeys {
  const generation = findKeyGeneration({ keyring, sealKey })
  if (generation === undefined) {
    throw new KeyringError('KEYRING_OTHER_KEY', 'the given seal key belongs to another keyring')
  }
  const held = new Map([[hex(generation.id), sealKey.clone()]])
  try {
    const brokenLink = climb(keyring, held)
    // Whoever has a key of the lineage may well have made it.
    return authenticated(keyring, held, { isOriginProven: true, brokenLink })
  } catch (error) {
    wipeAll(held)
    throw error
  }
}

/**
 * The generation that a plain seal key is of, whether or not it still leads anywhere; `undefined` for the key of another keyring. The MAC is
 * not checked.
 *
 * @param input.sealKey - stays the caller's.
 * @throws {@link KeyringError} `KEYRING_SEAL_KEY_INVALID`.
 */
export function findKeyGeneration({
  keyring,
  sealKey,
}: {
  readonly keyring: Keyring
  readonly sealKey: Secret
}): Generation | undefined {
  assertSealKey(sealKey)
  return keyring.generations.find(candidate => isKeyOf(candidate, sealKey))
}

/**
 * The seal keys of a newer keyring of the same cluster, from those that are held: climbs its links and checks its MAC. So a node
 * follows a rotation that another one made, although the other does not know this node's records.
 *
 * @param input.sealKeys - of this node's own keyring; stay the caller's.
 * @returns As {@link unwrapSealKeys}; the origin is proven if it was for `sealKeys`.
 * @throws {@link KeyringError} `KEYRING_OTHER_KEY` if none of the keys is of the keyring; `KEYRING_LINK_BROKEN`, `KEYRING_AUTH_FAILED`.
 */
export function followSealKeys({
  keyring,
  sealKeys,
}: {
  readonly keyring: Keyring
  readonly sealKeys: SealKeys
}): SealKeys {
  const held = new Map<string, Secret>()
  try {
    for (const generation of keyring.generations) {
      if (!sealKeys.has(generation.id)) continue
      const sealKey = sealKeys.of(generation.id)
      if (isKeyOf(generation, sealKey)) held.set(hex(generation.id), sealKey.clone())
    }
    if (held.size === 0) {
      throw new KeyringError('KEYRING_OTHER_KEY', 'no seal key that is held here belongs to the other keyring')
    }
    const brokenLink = climb(keyring, held)
    return authenticated(keyring, held, { isOriginProven: sealKeys.isOriginProven, brokenLink })
  } catch (error) {
    wipeAll(held)
    throw error
  }
}

/** @param how.brokenLink - what is said if the current generation was not reached. */
function authenticated(
  keyring: Keyring,
  held: ReadonlyMap<string, Secret>,
  { isOriginProven, brokenLink }: { readonly isOriginProven: boolean; readonly brokenLink: KeyringError | undefined },
): SealKeys {
  const { id, number, keyId } = currentGeneration(keyring)
  const current = held.get(hex(id))
  if (current === undefined) {
    throw brokenLink ?? new KeyringError('KEYRING_LINK_BROKEN', `generation ${number} (${keyId}) is out of reach`)
  }
  assertAuthentic(keyring, deriveMacKey(current, keyring.clusterId))
  return new SealKeys(held, isOriginProven)
}

function wipeAll(keys: ReadonlyMap<string, Secret>): void {
  for (const key of keys.values()) key.wipe()
}
