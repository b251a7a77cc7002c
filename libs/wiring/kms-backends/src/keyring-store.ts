import { decodeKeyring, type Keyring } from '@sealwright/keyring'
import { openKeyringStore } from '@sealwright/node-seals'
import { StoreError } from '@sealwright/seal-store'
import { KmsKeyringError } from './keyring-error.ts'

/** A keyring as the store has it. */
export interface StoredKeyring {
  readonly bytes: Uint8Array
  readonly keyring: Keyring
}

/**
 * Reads the keyring that a store must have.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_MISSING`; {StoreError} with the codes of reading.
 */
export async function readStored(path: string): Promise<StoredKeyring> {
  const stored = await findStored(path)
  if (stored !== undefined) return stored
  throw new KmsKeyringError(
    'KMS_KEYRING_MISSING',
    `${path} holds no keyring. Was there one: sealctl kms keyring recover or import. A further node is let in (enroll), and init is for the very first one of a new cluster`,
  )
}

/** The keyring of a store that may never have been written, or may not be there. @throws {StoreError} with the codes of reading. */
export async function findStored(path: string): Promise<StoredKeyring | undefined> {
  try {
    await using store = await openKeyringStore(path)
    const bytes = await store.readKeyring()
    return bytes === undefined ? undefined : { bytes, keyring: decodeKeyring(bytes) }
  } catch (error) {
    if (error instanceof StoreError && error.code === 'STORE_NOT_FOUND') return undefined
    throw error
  }
}
