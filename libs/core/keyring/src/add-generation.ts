import { type RandomBytes } from '@sealwright/envelope'
import { Secret } from '@sealwright/secret'

import { assertAuthentic, authenticate } from './authenticate.ts'
import { describeGeneration } from './generation.ts'
import { deriveMacKey } from './key-schedule.ts'
import { KeyringError } from './keyring-error.ts'
import { chosenGeneration, type Generation, type Keyring, type KeyringContents } from './keyring.ts'
import { breakPoint, compareGenerations, currentGeneration, isGivenUp, lineageOf } from './lineage.ts'
import { makeLink } from './link.ts'
import { type GenerationState, type GenerationStep } from './registry.ts'
import { assertOrdinaryGrowth } from './room.ts'
import { type SealKeys } from './seal-keys.ts'
import { KEY_BYTES } from './seal.ts'
import { withoutManyRemoved, withoutSpentGenerations } from './sweep.ts'
import { tidy } from './tidy.ts'
import { compareLinks } from './validate.ts'

/** A keyring, and the keys that an operation on it needs. */
export interface Holding {
  readonly keyring: Keyring
  /** Hold the key of the current generation; stay the caller's. */
  readonly sealKeys: SealKeys
}

/**
 * Makes the next seal key, vouched for by the current one.
 *
 * A chained generation is linked: whoever opens the current one reaches it. A broken one is not, for an old key that may be in
 * wrong hands: it has to be handed out, member by member, before it can become active. Generations that are pending, or retired and named
 * nowhere, then give it their room; and where the lineage is long, it follows an older one than the current.
 *
 * @returns The next revision, with the new generation pending, and its seal key, owned by the caller.
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED` if `keyring` is not authentic; `KEYRING_KEY_UNKNOWN`;
 *   `KEYRING_INPUT_INVALID` for the key id or the random source; `KEYRING_NO_ROOM` for a chained one; `KEYRING_TOO_LARGE`.
 * @see docs/formats/keyring.md §7.5
 */
export function addGeneration(
  input: Holding & {
    readonly step: GenerationStep
    readonly keyId?: string | undefined
    readonly randomBytes: RandomBytes
  },
): { readonly keyring: Keyring; readonly generation: Generation; readonly sealKey: Secret } {
  const { keyring, sealKeys, step, keyId, randomBytes } = input
  const { clusterId } = keyring
  const macKey = macKeyOfCurrent(keyring, sealKeys)
  assertAuthentic(keyring, macKey)
  const from = step === 'broken' ? breakPoint(keyring, ({ id }) => sealKeys.has(id)) : currentGeneration(keyring)
  const sealKey = sealKeys.of(from.id)
  const nextSealKey = new Secret(randomBytes(KEY_BYTES))
  try {
    if (nextSealKey.byteLength !== KEY_BYTES) {
      throw new KeyringError('KEYRING_INPUT_INVALID', `the random source gave ${nextSealKey.byteLength} bytes`)
    }
    const parent = { clusterId, generation: from, sealKey }
    const to = describeGeneration({ sealKey: nextSealKey, keyId, parent, step, state: 'pending' })
    if (keyring.generations.some(each => each.keyId === to.keyId)) {
      throw new KeyringError('KEYRING_INPUT_INVALID', `another generation has the key id ${to.keyId}`)
    }
    const links =
      step === 'broken' ? [] : [makeLink({ nextSealKey, sealKey, ends: { clusterId, from, to }, randomBytes })]
    const grown = {
      ...keyring,
      revision: keyring.revision + 1,
      generations: [...keyring.generations, to].sort(compareGenerations),
      links: [...keyring.links, ...links].sort(compareLinks),
    }
    const contents = tidy(step === 'broken' ? withoutSpentGenerations(grown, to) : grown)
    if (step === 'chained') assertOrdinaryGrowth(keyring, contents)
    return { keyring: authenticate(contents, macKey), generation: to, sealKey: nextSealKey }
  } catch (error) {
    nextSealKey.wipe()
    throw error
  }
}

/**
 * Lets a pending generation encrypt: from now on it is the current one. After a broken step, what nobody needs any more is swept away: see
 * {@link withoutSpentGenerations} and {@link withoutManyRemoved}.
 *
 * A chained one that was overtaken stays pending for good: whoever was let in since has a record of the one that overtook it, from which no
 * link leads to its twin.
 *
 * @param input.sealKeys - hold the key of that generation, too.
 * @returns The next revision, authenticated by the generation that is current then.
 * @throws {@link KeyringError} `KEYRING_NO_WAY_IN` if no record leads to it; `KEYRING_INPUT_INVALID` if it is not pending, was overtaken, or
 *   was given up: the current one comes after a break of the chain that it knows nothing of; `KEYRING_AUTH_FAILED`, `KEYRING_KEY_UNKNOWN`.
 * @see docs/formats/keyring.md §7.5
 */
export function activateGeneration({ id, ...holding }: Holding & { readonly id: Uint8Array }): Keyring {
  const { keyring } = holding
  const generation = chosenGeneration(keyring, id)
  if (isGivenUp(keyring, generation, keyring)) {
    throw new KeyringError(
      'KEYRING_INPUT_INVALID',
      `generation ${generation.number} (${generation.keyId}) was given up: the chain was broken elsewhere since`,
    )
  }
  if (generation.step === 'chained' && generation.state === 'pending' && isOvertaken(keyring, generation)) {
    throw new KeyringError(
      'KEYRING_INPUT_INVALID',
      `generation ${generation.number} (${generation.keyId}) was overtaken: another became current since it was made`,
    )
  }
  return inState(holding, generation, { from: 'pending', to: 'active' })
}

/** Whether the current generation is not one that this one comes after. */
function isOvertaken(contents: KeyringContents, generation: Generation): boolean {
  return !lineageOf(contents, generation).includes(currentGeneration(contents))
}

/**
 * Retires a generation that no blob names any more: what leads to it goes, except where a member has nothing newer yet.
 *
 * @throws {@link KeyringError} `KEYRING_INPUT_INVALID` if it is not active, or the current one; `KEYRING_AUTH_FAILED`,
 *   `KEYRING_KEY_UNKNOWN`.
 */
export function retireGeneration({ id, ...holding }: Holding & { readonly id: Uint8Array }): Keyring {
  const generation = chosenGeneration(holding.keyring, id)
  const current = currentGeneration(holding.keyring)
  if (generation === current) {
    throw new KeyringError(
      'KEYRING_INPUT_INVALID',
      `generation ${current.number} (${current.keyId}) is the current one`,
    )
  }
  return inState(holding, generation, { from: 'active', to: 'retired' })
}

function inState(
  { keyring, sealKeys }: Holding,
  generation: Generation,
  { from, to }: { readonly from: GenerationState; readonly to: GenerationState },
): Keyring {
  if (generation.state !== from) {
    throw new KeyringError(
      'KEYRING_INPUT_INVALID',
      `generation ${generation.number} (${generation.keyId}) is ${generation.state}`,
    )
  }
  assertAuthentic(keyring, macKeyOfCurrent(keyring, sealKeys))
  const moved = { ...generation, state: to }
  const next = tidy({
    ...keyring,
    revision: keyring.revision + 1,
    generations: keyring.generations.map(each => (each === generation ? moved : each)),
  })
  const isBreak = to === 'active' && generation.step === 'broken'
  const contents = isBreak ? tidy(withoutManyRemoved(withoutSpentGenerations(next, moved))) : next
  return authenticate(contents, macKeyOfCurrent(contents, sealKeys))
}

/** The key of the MAC of a keyring as it is: from its current seal key. */
export function macKeyOfCurrent(contents: KeyringContents, sealKeys: SealKeys) {
  return deriveMacKey(sealKeys.of(currentGeneration(contents).id), contents.clusterId)
}
