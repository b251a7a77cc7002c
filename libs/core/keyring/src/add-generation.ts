import { type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { describeGeneration } from './create-keyring.ts'
import { deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findGeneration, type Keyring } from './keyring.ts'
import { type SealKeys } from './seal-keys.ts'
import { KEY_BYTES } from './seal.ts'
import { wrapForLink } from './wrapped-key.ts'

/**
 * Makes the next seal key and the link that leads to it, and makes it the current one. Every record still opens the
 * keyring: it climbs one step more.
 *
 * @param input.sealKeys - hold the key of the current generation; stay the caller's.
 * @returns The next revision, and the new seal key, owned by the caller: with `matchSealKey` it allows new records.
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `keyring` is not authentic; `KEYRING_KEY_UNKNOWN`;
 *   `KEYRING_INPUT_INVALID` for the key id, the random source, or while a newer generation is being handed out.
 */
export function addGeneration(input: {
  readonly keyring: Keyring
  readonly sealKeys: SealKeys
  readonly keyId?: string | undefined
  readonly randomBytes: RandomBytes
}): { readonly keyring: Keyring; readonly sealKey: Secret } {
  const { keyring, sealKeys, keyId, randomBytes } = input
  const { clusterId, currentGeneration } = keyring
  const from = findGeneration(keyring, currentGeneration)
  if (from === undefined || keyring.generations.at(-1)?.number !== currentGeneration) {
    throw new KeyringError(
      'KEYRING_INPUT_INVALID',
      `a generation after ${currentGeneration} is being handed out already`,
    )
  }
  const sealKey = sealKeys.of(currentGeneration)
  assertAuthentic(keyring, deriveMacKey(sealKey, clusterId))
  const nextSealKey = new Secret(randomBytes(KEY_BYTES))
  try {
    const to = describeGeneration(currentGeneration + 1, nextSealKey, keyId)
    const link = wrapForLink(nextSealKey, sealKey, { ends: { clusterId, from, to }, randomBytes })
    const contents = {
      ...keyring,
      revision: keyring.revision + 1,
      currentGeneration: to.number,
      generations: [...keyring.generations, to],
      links: [...keyring.links, link],
    }
    return { keyring: authenticate(contents, deriveMacKey(nextSealKey, clusterId)), sealKey: nextSealKey }
  } catch (error) {
    nextSealKey.wipe()
    throw error
  }
}
