import { randomBytes, sign } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { type Holding } from '../add-generation.ts'
import { authenticate } from '../authenticate.ts'
import { lengthPrefixed, textBytes, uint32 } from '@sealwright/bytes'
import { describeGeneration, type Parent } from '../generation.ts'
import { deriveMacKey, deriveSigningKey } from '../key-schedule.ts'
import { type Generation, type Keyring, type KeyringContents, type KeyringRecord } from '../keyring.ts'
import { compareGenerations, currentGeneration } from '../lineage.ts'
import { GENERATION_STEPS, type GenerationState, type GenerationStep, type RecordMethod } from '../registry.ts'
import { KEY_BYTES } from '../seal.ts'
import { compareRecords } from '../validate.ts'
import { wrapForRecord } from '../wrapped-key.ts'
import { type FakeMember } from './fake-member.ts'
import { sealIdOf, sealKeyNamed, signal } from './samples.ts'

/** A key of the forger's own; each call makes another copy. */
export const evilKey = (): Secret => sealKeyNamed('evil')

/** What a keyring says about the forger's key, signed by whichever key `parent` has. */
export function evilGeneration(
  parent: Parent,
  { step = 'chained', state = 'active' }: { readonly step?: GenerationStep; readonly state?: GenerationState } = {},
): Generation {
  return describeGeneration({ sealKey: evilKey(), keyId: undefined, parent, step, state })
}

/** A record of the forger's key. Who has the public key of a member can make one by a method that proves nothing. */
export async function evilRecord(
  { clusterId, ...rest }: KeyringContents,
  member: FakeMember,
  { generationId, method = 'tpm-imported' }: { readonly generationId: Uint8Array; readonly method?: RecordMethod },
): Promise<KeyringRecord> {
  const kek = new Secret(randomBytes(KEY_BYTES))
  const sealedKek = await member.sealKek(kek, { signal })
  const sealId = sealIdOf({ clusterId, ...rest })
  const place = { sealId, memberId: member.memberId, generationId, method, sealedKek }
  const wrappedKey = wrapForRecord(evilKey(), kek, { binding: { ...place, clusterId }, randomBytes })
  return { ...place, entryVersion: 1, createdAtMs: 0, wrappedKey }
}

/** Completes contents of which the current generation is the forger's own. */
export function withEvilMac(contents: KeyringContents): Keyring {
  return authenticate(contents, deriveMacKey(evilKey(), contents.clusterId))
}

/**
 * A keyring with the forger's generation put into it, after the current one or `parent`; with a record for the member, and the
 * forger's MAC.
 *
 * @param evil.signer - the seal key that signs it; absent: the forger has none but their own.
 * @param evil.change - whatever else the forger writes.
 */
export async function putOnTop(
  { keyring }: Pick<Holding, 'keyring'>,
  member: FakeMember,
  evil: {
    readonly signer?: Secret
    readonly parent?: Generation
    readonly step?: GenerationStep
    readonly change?: Partial<KeyringContents>
  } = {},
): Promise<Keyring> {
  const { signer = evilKey(), parent = currentGeneration(keyring), step = 'chained', change = {} } = evil
  const own = evilGeneration({ clusterId: keyring.clusterId, generation: parent, sealKey: signer }, { step })
  const record = await evilRecord(keyring, member, { generationId: own.id })
  const contents = {
    ...keyring,
    revision: keyring.revision + 1,
    generations: [...keyring.generations, own].sort(compareGenerations),
    records: [...keyring.records, record].sort(compareRecords),
    ...change,
  }
  return withEvilMac(contents)
}

/**
 * Another version of a generation, signed as it should be: whoever holds the key of its parent can do that.
 *
 * @param signer - the key of the parent; of the generation itself, if it is the first.
 * @see docs/formats/keyring.md §6.5
 */
export function resigned(
  { clusterId }: KeyringContents,
  generation: Generation,
  { signer, change }: { readonly signer: Secret; readonly change: Partial<Generation> },
): Generation {
  const next = { ...generation, ...change }
  const message = lengthPrefixed([
    textBytes('sealwright keyring v1 generation'),
    clusterId,
    uint32(next.number),
    next.id,
    next.parentId,
    Uint8Array.of(GENERATION_STEPS.numbers[next.step]),
    textBytes(next.keyId),
    next.signingKey,
  ])
  return { ...next, signature: Uint8Array.from(sign(null, message, deriveSigningKey(signer))) }
}
