import { randomBytes } from 'node:crypto'

import { activateGeneration, addGeneration, type Holding } from '../add-generation.ts'
import { makeKmsKeyId } from '../kms-key-id.ts'
import { kmsChain } from '../open-kms-keyring.ts'
import { type Keyring } from '../keyring.ts'
import { type GenerationState, type GenerationStep } from '../registry.ts'
import { matchSealKey } from '../seal-keys.ts'
import { fakeMember, type FakeMember } from './fake-member.ts'
import { type Added, enrolled, keyringOf, sealKeyNamed } from './samples.ts'

export const MADE_AT_MS = 1_700_000_000_000

/** A key id for a version of this date. */
export const kmsKeyId = (notBeforeMs = MADE_AT_MS): string => makeKmsKeyId({ notBeforeMs, randomBytes })

/** The keyring of a KMS plugin with one version and one member, and its key. */
export async function begunForKms(member: FakeMember = fakeMember('a'), keyName = 'k'): Promise<Holding> {
  const keyring = await keyringOf(member, sealKeyNamed(keyName), kmsKeyId())
  return { keyring, sealKeys: matchSealKey({ keyring, sealKey: sealKeyNamed(keyName) }) }
}

/** With one more version, which is pending. */
export function pendingForKms(holding: Holding, step: GenerationStep = 'chained', notBeforeMs = MADE_AT_MS): Added {
  const { keyring, sealKeys } = holding
  const added = addGeneration({ keyring, sealKeys, step, keyId: kmsKeyId(notBeforeMs), randomBytes })
  const { generation, sealKey } = added
  return { keyring: added.keyring, sealKeys: sealKeys.with(generation.id, sealKey), generation }
}

/** One version later. */
export function rotatedForKms(holding: Holding, notBeforeMs = MADE_AT_MS): Holding {
  const { keyring, sealKeys, generation } = pendingForKms(holding, 'chained', notBeforeMs)
  return { keyring: activateGeneration({ keyring, sealKeys, id: generation.id }), sealKeys }
}

/** One version later, after a break of the chain: only these members come along. */
export async function brokenForKms(holding: Holding, members: readonly FakeMember[]): Promise<Holding> {
  const { generation, ...added } = pendingForKms(holding, 'broken')
  const handedOut = await enrolled(added, members, generation.id)
  return { ...handedOut, keyring: activateGeneration({ ...handedOut, id: generation.id }) }
}

/** The states of all versions, oldest first. */
export function statesOf(keyring: Keyring): readonly GenerationState[] {
  return kmsChain(keyring).map(({ state }) => state)
}
