import { type Keyring, KeyringError } from '@sealwright/keyring'
import { readStoredKeyring } from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'

/** What the store has; `undefined` if nothing can be read there. */
export async function storedIfAny(path: string): Promise<Keyring | undefined> {
  try {
    return await readStoredKeyring(path)
  } catch (error) {
    if (error instanceof StoreError || error instanceof KeyringError) return undefined
    throw error
  }
}

/**
 * What the store has; where it was lost, what is held, or else what OpenBao has brought.
 *
 * @param instead - best first; empty if there is nothing.
 * @returns At least one keyring: those that may be tried, best first.
 * @throws {StoreError} with the codes of reading; `STORE_NOT_FOUND` only if there is nothing instead.
 */
export async function storedOr(path: string, instead: readonly Keyring[]): Promise<readonly Keyring[]> {
  try {
    return [await readStoredKeyring(path)]
  } catch (error) {
    // A store that is damaged, or of another cluster, is not there to be replaced by what a stranger may have sent.
    if (instead.length === 0 || !(error instanceof StoreError) || error.code !== 'STORE_NOT_FOUND') throw error
    return instead
  }
}
