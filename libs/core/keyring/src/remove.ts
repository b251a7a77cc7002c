import { assertAuthentic, authenticate } from './authenticate.ts'
import { type Holding, macKeyOfCurrent } from './add-generation.ts'
import { hex, sameBytes } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, type KeyringContents, type Member, memberKey, type Generation } from './keyring.ts'
import { currentGeneration, lineageOf, reachableFromAny } from './lineage.ts'
import { type SealKeys } from './seal-keys.ts'
import { tidy } from './tidy.ts'

/** Which member of which seal. */
export type MemberPlace = Pick<Member, 'sealId' | 'memberId'>

/**
 * Takes a member's records away. It stays listed as removed, so that no merge brings it back.
 *
 * Whoever has a copy of the keyring from before still opens that one by the member, and follows its links: against that stands
 * a break of the chain.
 *
 * A generation whose key is not held keeps nobody in, wherever it stands: whoever had an old key can have put one into the lineage that they
 * alone open, so as not to be removed. Whoever stays does not open it either.
 *
 * @returns The next revision.
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID` if it is not listed or removed already; `KEYRING_NO_WAY_IN` if no record would be
 *   left that leads to the current generation, or to another active one whose key is held; `KEYRING_AUTH_FAILED`, `KEYRING_KEY_UNKNOWN`.
 */
export function removeMember({ place, ...holding }: Holding & { readonly place: MemberPlace }): Keyring {
  return removeMembers({ ...holding, places: [place] })
}

/**
 * As {@link removeMember} for many at once, in one step: all of them, or none. A thousand that somebody has planted cost no more than one.
 *
 * @param input.places - one that is named twice is removed once; none leave the keyring as it is.
 * @throws as {@link removeMember}.
 */
export function removeMembers({ places, ...holding }: Holding & { readonly places: readonly MemberPlace[] }): Keyring {
  const { keyring } = holding
  if (places.length === 0) return keyring
  const active = new Set(keyring.members.filter(({ state }) => state === 'active').map(memberKey))
  const missing = places.find(place => !active.has(memberKey(place)))
  if (missing !== undefined) throw notAMember(missing)
  const leaving = new Set(places.map(memberKey))
  const change = {
    members: keyring.members.map(member => (leaving.has(memberKey(member)) ? removedMember(member) : member)),
  }
  return changed(holding, change, ({ id }) => holding.sealKeys.has(id))
}

/**
 * Takes a seal away, with all its members. That is no answer to an attack, and can wait until a generation is retired: so what a seal alone
 * leads to is kept also if its key is not held here, see {@link isMissed}.
 *
 * @param input.sealId - 16 bytes.
 * @throws {@link KeyringError} as {@link removeMember}; `KEYRING_NO_WAY_IN` also if no record would be left that leads to an active generation
 *   which the current one comes after.
 */
export function removeSeal({ sealId, ...holding }: Holding & { readonly sealId: Uint8Array }): Keyring {
  const { keyring } = holding
  if (!keyring.seals.some(seal => sameBytes(seal.sealId, sealId) && seal.state === 'active')) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `no seal ${hex(sealId)}`)
  }
  const isOf = (entry: { readonly sealId: Uint8Array }): boolean => sameBytes(entry.sealId, sealId)
  const change: Partial<KeyringContents> = {
    seals: keyring.seals.map(seal =>
      isOf(seal) ? { ...seal, entryVersion: seal.entryVersion + 1, state: 'removed' } : seal,
    ),
    members: keyring.members.map(member =>
      isOf(member) && member.state === 'active' ? removedMember(member) : member,
    ),
  }
  return changed(holding, change, generation => isMissed(holding, generation))
}

/**
 * Whether blobs that this node may have to decrypt can name an active generation: its key is held, or the current one comes after it. Beside
 * the lineage anybody who had an old key can have planted one that they alone open.
 */
export function isMissed({ keyring, sealKeys }: Holding, { id }: Pick<Generation, 'id'>): boolean {
  return sealKeys.has(id) || lineageOf(keyring, currentGeneration(keyring)).some(each => sameBytes(each.id, id))
}

/** @param isNeeded - whether an active generation keeps the last way to it in the keyring. */
function changed(
  { keyring, sealKeys }: Holding,
  change: Partial<KeyringContents>,
  isNeeded: (generation: Generation) => boolean,
): Keyring {
  const macKey = macKeyOfCurrent(keyring, sealKeys)
  assertAuthentic(keyring, macKey)
  const contents = tidy({ ...keyring, ...change, revision: keyring.revision + 1 })
  const reached = new Set(reachedGenerations(contents, contents.records))
  const lost = reachedGenerations(keyring, keyring.records).filter(each => !reached.has(each) && isNeeded(each))
  if (lost.length > 0) throw lastWayTo(lost, sealKeys)
  return authenticate(contents, macKey)
}

/** The active generations that some of these records lead to. */
export function reachedGenerations(
  contents: KeyringContents,
  records: readonly { readonly generationId: Uint8Array }[],
): readonly Generation[] {
  const reached = reachableFromAny(contents, new Set(records.map(({ generationId }) => hex(generationId))))
  return contents.generations.filter(({ id, state }) => state === 'active' && reached.has(hex(id)))
}

function lastWayTo(lost: readonly Generation[], sealKeys: SealKeys): KeyringError {
  const inWords = (generations: readonly Generation[]): string =>
    generations.map(({ number, keyId }) => `${number} (${keyId})`).join(', ')
  const strange = lost.filter(({ id }) => !sealKeys.has(id))
  const advice =
    strange.length === 0
      ? ''
      : `; nobody here has the key of ${inWords(strange)}: retire it first, if no snapshot names it: sealctl rotate retire`
  return new KeyringError(
    'KEYRING_NO_WAY_IN',
    `this is the last way to generation ${inWords(lost)}, which blobs may still name${advice}`,
  )
}

/** The entry of a member that was taken away: nothing of it is left but who it was. */
export function removedMember(member: Member): Member {
  const gone = { state: 'removed', wrappingKey: new Uint8Array(), data: new Uint8Array() } as const
  return { ...member, ...gone, entryVersion: member.entryVersion + 1 }
}

function notAMember({ sealId, memberId }: MemberPlace): KeyringError {
  return new KeyringError('KEYRING_INPUT_INVALID', `no member ${hex(memberId)} of the seal ${hex(sealId)}`)
}
