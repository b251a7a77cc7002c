import { authenticate, assertAuthentic } from './authenticate.ts'
import { type Holding, macKeyOfCurrent } from './add-generation.ts'
import { type Keyring, type KeyringRecord } from './keyring.ts'
import { isSameContent, isSamePlace } from './same-entry.ts'

/**
 * Puts records back that others have taken the place of, under the next entry version. Asks no member: what was sealed once still opens.
 *
 * Whoever had an old key can give a record another content, and a merge takes the higher entry version. What opened must not be lost by that.
 *
 * @param input.records - of an earlier keyring of the same cluster. One whose place is empty by now stays away: its member was removed, or its
 *   generation is needed no more.
 * @returns The next revision; the keyring given in if each record is there as it was.
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED`, `KEYRING_KEY_UNKNOWN`; as `encodeContents`.
 */
export function reinstateRecords({
  keyring,
  sealKeys,
  records,
}: Holding & { readonly records: readonly KeyringRecord[] }): Keyring {
  const macKey = macKeyOfCurrent(keyring, sealKeys)
  assertAuthentic(keyring, macKey)
  const reinstated = keyring.records.map(record => {
    const former = records.find(each => isSamePlace(each, record))
    return former === undefined || isSameContent(former, record)
      ? record
      : { ...former, entryVersion: record.entryVersion + 1 }
  })
  if (reinstated.every((record, index) => record === keyring.records[index])) return keyring
  return authenticate({ ...keyring, records: reinstated, revision: keyring.revision + 1 }, macKey)
}
