import { type RandomBytes } from '@sealwright/envelope'
import { activateGeneration, addGeneration } from '@sealwright/keyring'
import { type Unlocked } from './custody.ts'

/**
 * Makes the next generation of the seal key and lets it encrypt. Every record of the keyring leads to it by the new link, also
 * that of a seal which is offline now.
 *
 * @returns The rotated keyring, and its keys, which share those given in.
 */
export function rotated({ keyring, sealKeys }: Unlocked, randomBytes: RandomBytes): Unlocked {
  const added = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  const { id } = added.generation
  const held = sealKeys.with(id, added.sealKey)
  try {
    return { keyring: activateGeneration({ keyring: added.keyring, sealKeys: held, id }), sealKeys: held }
  } catch (error) {
    added.sealKey.wipe()
    throw error
  }
}
