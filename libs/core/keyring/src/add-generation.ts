import { type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { type LinkKind } from './chain.ts'
import { describeGeneration } from './create-keyring.ts'
import { deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { findGeneration, type Keyring } from './keyring.ts'
import { makeLink } from './link.ts'
import { type SealKeys } from './seal-keys.ts'
import { KEY_BYTES } from './seal.ts'

/**
 * Makes the next seal key and the link that leads to it.
 *
 * With a wrapped key, the new generation becomes the current one. Every record still opens the keyring: it climbs one step
 * more. With an endorsement the chain is broken: no record leads to the new generation yet, so the current one stays until
 * the members have records of the new one. That is for an old generation that may be in wrong hands.
 *
 * @param input.sealKeys - hold the key of the current generation; stay the caller's.
 * @param input.link - whether the link wraps the next seal key or only endorses it; absent: it wraps it.
 * @returns The next revision, and the new seal key, owned by the caller: new records need it, by `matchSealKey` or, after an
 *   endorsement, in `SealKeys` beside the current one.
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `keyring` is not authentic; `KEYRING_KEY_UNKNOWN`;
 *   `KEYRING_INPUT_INVALID` for the key id, the random source, or while a newer generation is being handed out.
 */
export function addGeneration(input: {
  readonly keyring: Keyring
  readonly sealKeys: SealKeys
  readonly keyId?: string | undefined
  readonly link?: LinkKind
  readonly randomBytes: RandomBytes
}): { readonly keyring: Keyring; readonly sealKey: Secret } {
  const { keyring, sealKeys, keyId, link: kind = 'wrapped-key', randomBytes } = input
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
    const link = makeLink({ kind, nextSealKey, sealKey, ends: { clusterId, from, to }, randomBytes })
    const isCurrent = kind === 'wrapped-key'
    const contents = {
      ...keyring,
      revision: keyring.revision + 1,
      currentGeneration: isCurrent ? to.number : currentGeneration,
      generations: [...keyring.generations, to],
      links: [...keyring.links, link],
    }
    return {
      keyring: authenticate(contents, deriveMacKey(isCurrent ? nextSealKey : sealKey, clusterId)),
      sealKey: nextSealKey,
    }
  } catch (error) {
    nextSealKey.wipe()
    throw error
  }
}
