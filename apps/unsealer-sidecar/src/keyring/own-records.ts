import { sameBytes } from '@sealwright/bytes'
import {
  encodeKeyring,
  findRecords,
  findSeal,
  findSealRecords,
  followSealKeys,
  isSameContent,
  isSameLink,
  isSamePlace,
  type Keyring,
  type KeyringRecord,
  type SealKeys,
} from '@sealwright/keyring'
import { classifySealFailure, type ConfiguredSeal, unwrapThrough } from '@sealwright/node-seals'

/** The member that each seal of this node was opened as, by the name of the seal. */
export type MembersBySeal = ReadonlyMap<string, Uint8Array>

/** The records of this node's member of a seal; none where it is not known which member that is. */
export function ownRecords(ourMembers: MembersBySeal, keyring: Keyring, sealName: string): readonly KeyringRecord[] {
  const [seal, memberId] = [findSeal(keyring, sealName), ourMembers.get(sealName)]
  return seal === undefined || memberId === undefined ? [] : findRecords(keyring, { sealId: seal.sealId, memberId })
}

/**
 * Names of the seals that have a record in the store which is not in the keyring that is to take its place, or any record at all if a link is
 * not: they have to be looked at before. Whoever had an old key can change any part of a record, or put the rest in another place. Asks no
 * device.
 *
 * @param sealNames - of this node.
 * @param ourMembers - of a seal that is not listed every member counts.
 */
export function sealsAtStake(
  sealNames: readonly string[],
  ourMembers: MembersBySeal,
  { stored, next }: { readonly stored: Keyring; readonly next: Keyring },
): readonly string[] {
  const hasLinks = stored.links.every(link => next.links.some(each => isSameLink(each, link)))
  return sealNames.filter(name =>
    recordsAtStake(ourMembers, stored, name).some(
      record => !hasLinks || !next.records.some(each => isSamePlace(each, record) && isSameContent(each, record)),
    ),
  )
}

/** Whether a record has another one in its place, with other content. */
export function isReplaced(record: KeyringRecord, { records }: Keyring): boolean {
  return records.some(other => isSamePlace(other, record) && !isSameContent(other, record))
}

/** As {@link ownRecords}; of a seal of which it is not known which member is ours, those of all. */
function recordsAtStake(ourMembers: MembersBySeal, keyring: Keyring, sealName: string): readonly KeyringRecord[] {
  return ourMembers.has(sealName) ? ownRecords(ourMembers, keyring, sealName) : findSealRecords(keyring, sealName)
}

/**
 * The plain seal keys of a keyring through one seal: by its record there, else by the one that the store still has. A record that
 * came from outside may be of another state of this machine, such as that of a firmware that was taken back.
 *
 * @param stored - what the store has; `undefined` if there is nothing to be had.
 * @throws what the seal says of `keyring`; of the stored one only what an operator has to mend.
 */
export async function unlockThrough(
  seal: ConfiguredSeal,
  keyring: Keyring,
  stored: () => Promise<Keyring | undefined>,
  signal: AbortSignal,
): Promise<SealKeys> {
  try {
    return await unwrapThrough(seal, keyring, signal)
  } catch (error) {
    // Anything else may pass, or may cost a try of a PIN.
    if (signal.aborted || classifySealFailure(error).kind !== 'permanent') throw error
    const former = await stored()
    if (former === undefined || sameBytes(encodeKeyring(former), encodeKeyring(keyring))) throw error
    using sealKeys = await unwrapFormer(seal, former, error, signal)
    return followSealKeys({ keyring, sealKeys })
  }
}

async function unwrapFormer(
  seal: ConfiguredSeal,
  former: Keyring,
  firstError: unknown,
  signal: AbortSignal,
): Promise<SealKeys> {
  try {
    return await unwrapThrough(seal, former, signal)
  } catch (error) {
    throw !signal.aborted && classifySealFailure(error).kind === 'operator' ? error : firstError
  }
}
