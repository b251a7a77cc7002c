import { type Secret } from '@sealwright/secret'

import { assertAuthentic } from './authenticate.ts'
import { hex, sameBytes } from './bytes.ts'
import { climb, planRecords } from './climb.ts'
import { assertSealKey, deriveClusterId, deriveMacKey, isKeyOf } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findRecords, type Keyring, type KeyringRecord, requireGeneration } from './keyring.ts'
import { type SealMember } from './seal.ts'
import { unwrapRecord } from './wrapped-key.ts'

/**
 * The plain seal keys of a keyring, for as long as something has to be wrapped. Wipe it soon: what runs for long needs an
 * `OpenKeyring` only.
 */
export class SealKeys {
  readonly #keys: ReadonlyMap<number, Secret>

  /** Takes ownership of the keys. */
  constructor(keys: ReadonlyMap<number, Secret>) {
    this.#keys = keys
  }

  /** The generations whose key is held, in ascending order. */
  get generations(): readonly number[] {
    return [...this.#keys.keys()].sort((a, b) => a - b)
  }

  /**
   * The seal key of one generation, still owned here.
   *
   * @throws {@link KeyringError} `KEYRING_KEY_UNKNOWN`.
   */
  of(generation: number): Secret {
    const key = this.#keys.get(generation)
    if (key !== undefined) return key
    throw new KeyringError('KEYRING_KEY_UNKNOWN', `the seal key of generation ${generation} is not held`)
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
}

/**
 * Unwraps the seal keys through one member: its oldest record, then up the forward chain; where the chain was broken on
 * purpose, its next record, once the generation below has endorsed that step. In the end the MAC of the keyring is checked
 * under the current seal key.
 *
 * Every generation above one that is held is vouched for by it. So nobody who lacks a seal key can put a generation of their
 * own beside a genuine one, whatever records they make for it: the member is not even asked for them.
 *
 * What the member throws (a wrong PIN, a PCR that drifted, an abort) passes through as it is, and no other record is
 * tried: one more attempt with a wrong PIN could lock the device.
 *
 * @returns The keys of every generation that was reached, the current one among them; owned by the caller, who wipes them.
 * @throws {@link KeyringError} `KEYRING_NO_RECORD`, `KEYRING_RECORD_AUTH_FAILED`, `KEYRING_LINK_BROKEN` or
 *   `KEYRING_AUTH_FAILED`.
 */
export async function unwrapSealKeys(input: UnwrapInput): Promise<SealKeys> {
  const { keyring } = input
  const held = new Map<number, Secret>()
  try {
    for (const record of planRecords(keyring, recordsOf(input))) {
      held.set(record.generation, await unwrapThrough(input, record))
      climb(keyring, held, requireGeneration(keyring, record.generation))
    }
    return authenticated(keyring, held)
  } catch (error) {
    wipeAll(held)
    throw error
  }
}

/**
 * Proves that a member opens the keyring, and that so does every record which it has there: each gives the seal key of its
 * generation. Opening alone asks for one record, or for few. For what is about to take the place of records that work.
 *
 * @throws as {@link unwrapSealKeys}; at the first record that does not open, and no other is tried.
 */
export async function proveRecords(input: UnwrapInput): Promise<void> {
  const records = recordsOf(input)
  const sealKeys = await unwrapSealKeys(input)
  sealKeys.wipe()
  const opened = planRecords(input.keyring, records)
  for (const record of records) {
    if (opened.includes(record)) continue
    const sealKey = await unwrapThrough(input, record)
    sealKey.wipe()
  }
}

function recordsOf({ keyring, sealId, member: { memberId } }: UnwrapInput): readonly KeyringRecord[] {
  const records = findRecords(keyring, { sealId, memberId })
  if (records.length > 0) return records
  throw new KeyringError('KEYRING_NO_RECORD', `member ${hex(memberId)} of seal ${hex(sealId)} has no record`)
}

/** The seal key of one record, owned by the caller: checked against its generation. */
async function unwrapThrough({ keyring, member, signal }: UnwrapInput, record: KeyringRecord): Promise<Secret> {
  const generation = requireGeneration(keyring, record.generation)
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
  assertSealKey(sealKey)
  const generation = keyring.generations.find(candidate => isKeyOf(candidate, sealKey))
  if (generation === undefined) throw unmatched(keyring, sealKey)
  const held = new Map([[generation.number, sealKey.clone()]])
  try {
    climb(keyring, held, generation)
    return authenticated(keyring, held)
  } catch (error) {
    wipeAll(held)
    throw error
  }
}

function authenticated(keyring: Keyring, held: ReadonlyMap<number, Secret>): SealKeys {
  const current = held.get(keyring.currentGeneration)
  if (current === undefined) {
    const reached = [...held.keys()].join(', ')
    throw new KeyringError(
      'KEYRING_LINK_BROKEN',
      `generation ${keyring.currentGeneration} is out of reach: only ${reached} opened`,
    )
  }
  assertAuthentic(keyring, deriveMacKey(current, keyring.clusterId))
  return new SealKeys(held)
}

/** The first key of this very cluster can only be unknown to a keyring that was changed, or has moved past it. */
function unmatched(keyring: Keyring, sealKey: Secret): KeyringError {
  const isFirstKey = sameBytes(deriveClusterId(sealKey), keyring.clusterId)
  if (isFirstKey && keyring.generations[0]?.number === 1) {
    return new KeyringError(
      'KEYRING_AUTH_FAILED',
      'the keyring was changed: it does not know the first key of its cluster',
    )
  }
  return new KeyringError(
    'KEYRING_OTHER_KEY',
    isFirstKey
      ? 'the given seal key is the first one of this cluster, which the keyring has left behind'
      : 'the given seal key belongs to another keyring',
  )
}

function wipeAll(keys: ReadonlyMap<number, Secret>): void {
  for (const key of keys.values()) key.wipe()
}
