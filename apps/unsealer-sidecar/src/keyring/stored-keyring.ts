import { type Keyring } from '@sealwright/keyring'
import { readStoredKeyring } from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'

/**
 * What the store has; where it was lost, what OpenBao has brought.
 *
 * @param offered - `undefined` if OpenBao has brought none.
 * @throws {StoreError} with the codes of reading; `STORE_NOT_FOUND` only if nothing was offered either.
 */
export async function storedOr(path: string, offered: Keyring | undefined): Promise<Keyring> {
  try {
    return await readStoredKeyring(path)
  } catch (error) {
    // A store that is damaged, or of another cluster, is not there to be replaced by what a stranger may have sent.
    if (offered === undefined || !(error instanceof StoreError) || error.code !== 'STORE_NOT_FOUND') throw error
    return offered
  }
}
