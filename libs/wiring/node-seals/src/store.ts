import { decodeKeyring, type Keyring } from '@sealwright/keyring'
import { openSealStore, type SealStore, type SealStoreOptions, StoreError } from '@sealwright/seal-store'

/**
 * Opens a node's seal store for keyrings.
 *
 * @throws {StoreError} with the codes of opening, `STORE_NOT_FOUND` among them.
 */
export async function openKeyringStore(
  path: string,
  options: Pick<SealStoreOptions, 'create' | 'tightenModes'> = {},
): Promise<SealStore> {
  return await openSealStore({ ...options, path, verify: bytes => void decodeKeyring(bytes) })
}

/**
 * Reads the keyring of a store that must have one.
 *
 * @throws {StoreError} with the codes of reading, and `STORE_NOT_FOUND` for a store that was never written.
 */
export async function readStoredKeyring(path: string): Promise<Keyring> {
  await using store = await openKeyringStore(path)
  const bytes = await store.readKeyring()
  if (bytes === undefined) {
    throw new StoreError('STORE_NOT_FOUND', `${path} holds no keyring yet: run bootstrap-init on this node`)
  }
  return decodeKeyring(bytes)
}
