import { assertAuthentic, authenticate } from './authenticate.ts'
import { type Holding } from './add-generation.ts'
import { hex, sameBytes } from './bytes.ts'
import { deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, type KeyringContents, type Member, memberKey, type Generation } from './keyring.ts'
import { currentGeneration, lineageOf, reachableFrom } from './lineage.ts'
import { tidy } from './tidy.ts'

/** Which member of which seal. */
export type MemberPlace = Pick<Member, 'sealId' | 'memberId'>

/**
 * Takes a member's records away. It stays listed as removed, so that no merge brings it back.
 *
 * Whoever has a copy of the keyring from before still opens that one by the member, and follows its links: against that stands
 * a break of the chain.
 *
 * @returns The next revision.
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID` if it is not listed or removed already; `KEYRING_NO_WAY_IN` if no record would be
 *   left that leads to some active generation whose key is held, or which the current one comes after; `KEYRING_AUTH_FAILED`,
 *   `KEYRING_KEY_UNKNOWN`.
 */
export function removeMember({ place, ...holding }: Holding & { readonly place: MemberPlace }): Keyring {
  const { keyring } = holding
  if (!keyring.members.some(member => isAt(member, place) && member.state === 'active')) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `no member ${hex(place.memberId)} of the seal ${hex(place.sealId)}`)
  }
  return changed(holding, {
    members: keyring.members.map(member => (isAt(member, place) ? removedMember(member) : member)),
  })
}

/**
 * Takes a seal away, with all its members, as {@link removeMember}.
 *
 * @param input.sealId - 16 bytes.
 * @throws as {@link removeMember}.
 */
export function removeSeal({ sealId, ...holding }: Holding & { readonly sealId: Uint8Array }): Keyring {
  const { keyring } = holding
  if (!keyring.seals.some(seal => sameBytes(seal.sealId, sealId) && seal.state === 'active')) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `no seal ${hex(sealId)}`)
  }
  const isOf = (entry: { readonly sealId: Uint8Array }): boolean => sameBytes(entry.sealId, sealId)
  return changed(holding, {
    seals: keyring.seals.map(seal =>
      isOf(seal) ? { ...seal, entryVersion: seal.entryVersion + 1, state: 'removed' } : seal,
    ),
    members: keyring.members.map(member =>
      isOf(member) && member.state === 'active' ? removedMember(member) : member,
    ),
  })
}

function changed({ keyring, sealKeys }: Holding, change: Partial<KeyringContents>): Keyring {
  const macKey = deriveMacKey(sealKeys.of(currentGeneration(keyring).id), keyring.clusterId)
  assertAuthentic(keyring, macKey)
  const contents = tidy({ ...keyring, ...change, revision: keyring.revision + 1 })
  const reached = reachedGenerations(contents, contents.records)
  // Whoever had an old key can have planted a generation beside the lineage that they alone open, so as not to be removed.
  const lineage = lineageOf(keyring, currentGeneration(keyring))
  const lost = reachedGenerations(keyring, keyring.records).filter(
    generation => !reached.includes(generation) && (sealKeys.has(generation.id) || lineage.includes(generation)),
  )
  if (lost.length > 0) {
    const which = lost.map(({ number, keyId }) => `${number} (${keyId})`).join(', ')
    throw new KeyringError(
      'KEYRING_NO_WAY_IN',
      `this is the last way to generation ${which}, which blobs may still name`,
    )
  }
  return authenticate(contents, macKey)
}

/** The active generations that some of these records lead to. */
export function reachedGenerations(
  contents: KeyringContents,
  records: readonly { readonly generationId: Uint8Array }[],
): readonly Generation[] {
  // Each generation once: there may be a thousand records of it.
  const starts = new Map(records.map(({ generationId }) => [hex(generationId), generationId]))
  const reached = new Set([...starts.values()].flatMap(start => [...reachableFrom(contents, start)]))
  return contents.generations.filter(({ id, state }) => state === 'active' && reached.has(hex(id)))
}

function removedMember(member: Member): Member {
  const gone = { state: 'removed', wrappingKey: new Uint8Array(), data: new Uint8Array() } as const
  return { ...member, ...gone, entryVersion: member.entryVersion + 1 }
}

function isAt(member: Member, place: MemberPlace): boolean {
  return memberKey(member) === memberKey(place)
}
