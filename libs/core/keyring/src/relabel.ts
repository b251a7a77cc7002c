import { type Holding, macKeyOfCurrent } from './add-generation.ts'
import { assertAuthentic, authenticate } from './authenticate.ts'
import { isName } from './byte-reader.ts'
import { hex } from '@sealwright/bytes'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, memberKey } from './keyring.ts'
import { type MemberPlace } from './remove.ts'
import { assertOrdinaryGrowth } from './room.ts'

/**
 * Calls a member by another name. Its records stay as they are: a label is not bound into them.
 *
 * @param input.label - 1 to 64 printable ASCII characters, no space.
 * @returns The next revision; the keyring itself if the member is called so already.
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID` if it is no label, or the member is not listed or removed; `KEYRING_NO_ROOM`,
 *   `KEYRING_AUTH_FAILED`, `KEYRING_KEY_UNKNOWN`; as `encodeKeyring`.
 */
export function relabelMember({
  keyring,
  sealKeys,
  place,
  label,
}: Holding & { readonly place: MemberPlace; readonly label: string }): Keyring {
  if (!isName(label)) {
    throw new KeyringError('KEYRING_INPUT_INVALID', 'the label is not 1 to 64 printable ASCII characters')
  }
  const macKey = macKeyOfCurrent(keyring, sealKeys)
  assertAuthentic(keyring, macKey)
  const key = memberKey(place)
  const member = keyring.members.find(each => each.state === 'active' && memberKey(each) === key)
  if (member === undefined) {
    throw new KeyringError('KEYRING_INPUT_INVALID', `no member ${hex(place.memberId)} of the seal ${hex(place.sealId)}`)
  }
  if (member.label === label) return keyring
  const renamed = { ...member, label, entryVersion: member.entryVersion + 1 }
  const members = keyring.members.map(each => (each === member ? renamed : each))
  const contents = { ...keyring, members, revision: keyring.revision + 1 }
  assertOrdinaryGrowth(keyring, contents)
  return authenticate(contents, macKey)
}
