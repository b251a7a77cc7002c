import { randomBytes } from 'node:crypto'

import { Secret } from '@sealwright/secret'

import { authenticate } from '../authenticate.ts'
import { type LinkKind } from '../chain.ts'
import { describeGeneration } from '../create-keyring.ts'
import { deriveMacKey } from '../key-schedule.ts'
import { type Generation, type Keyring, type KeyringContents, type KeyringRecord } from '../keyring.ts'
import { makeLink } from '../link.ts'
import { KEY_BYTES } from '../seal.ts'
import { wrapForRecord } from '../wrapped-key.ts'
import { type FakeMember } from './fake-member.ts'
import { sealIdOf, signal } from './samples.ts'

/** What somebody has who can write the keyring and make KEKs for a member, but knows no seal key of the cluster. */
export interface Forger {
  readonly member: FakeMember
  /** A key of the forger's own. */
  readonly sealKey: Secret
}

/** A record of the forger's key for the member, who opens it as one of its own. */
export async function forgeRecord(
  { clusterId, ...rest }: Keyring,
  { member, sealKey }: Forger,
  generation: number,
): Promise<KeyringRecord> {
  const kek = new Secret(randomBytes(KEY_BYTES))
  const sealedKek = await member.sealKek(kek, { signal })
  const sealId = sealIdOf({ clusterId, ...rest })
  const place = { sealId, memberId: member.memberId, generation, method: 'tpm-imported', sealedKek } as const
  return {
    ...place,
    slot: 0,
    entryVersion: 1,
    createdAtMs: 0,
    wrappedKey: wrapForRecord(sealKey, kek, { binding: { ...place, clusterId }, randomBytes }),
  }
}

/** What a keyring says about the forger's key. */
export function forgeGeneration(number: number, { sealKey }: Forger): Generation {
  return describeGeneration(number, sealKey, undefined)
}

/** Completes a keyring with a MAC under the forger's key. */
export function forgeMac(contents: KeyringContents, { sealKey }: Forger): Keyring {
  return authenticate(contents, deriveMacKey(sealKey, contents.clusterId))
}

/**
 * A genuine keyring with the forger's generation above its highest one: with a record for the member, a link made without
 * the key that it would take, and the MAC of the forger.
 */
export async function putOnTop(keyring: Keyring, input: Forger & { readonly link: LinkKind }): Promise<Keyring> {
  const from = keyring.generations.at(-1)
  if (from === undefined) throw new Error('no generation')
  const to = forgeGeneration(from.number + 1, input)
  const { link: kind, sealKey } = input
  const ends = { clusterId: keyring.clusterId, from, to }
  const link = makeLink({ kind, nextSealKey: sealKey, sealKey, ends, randomBytes })
  const contents = {
    ...keyring,
    revision: keyring.revision + 1,
    currentGeneration: to.number,
    generations: [...keyring.generations, to],
    records: [...keyring.records, await forgeRecord(keyring, input, to.number)],
    links: [...keyring.links, link],
  }
  return forgeMac(contents, input)
}
