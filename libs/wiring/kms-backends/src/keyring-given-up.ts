import { findGeneration, type Keyring, kmsChain, type KmsGeneration } from '@sealwright/keyring'
import { KmsKeyringError } from './keyring-error.ts'
import { keepCopy } from './keyring-copy.ts'
import { type StoredKeyring } from './keyring-store.ts'

/** A version of the key, as a plugin remembers it. */
export interface EncryptingVersion {
  readonly version: number
  /** 16 bytes: the id of its generation. */
  readonly lineage: Uint8Array
}

/** What an operator and this node say to versions that another node has retired. */
export interface GivingUp {
  /** Whether an operator means it. */
  readonly acceptRetired: boolean
  /** What the plugin of this node encrypts by; `undefined` if it has not encrypted yet. Asked only where a version would be given up. */
  readonly encryptingHere: () => Promise<EncryptingVersion | undefined>
}

/** Versions that this node gives up with a keyring that it is brought. */
export interface GivenUp {
  readonly versions: readonly number[]
  /** Where the keyring from before is kept; `undefined` if no version is given up. */
  readonly keptAs: string | undefined
}

/**
 * Before this node unites its keyring with one in which versions are retired that it still decrypts by: an operator must mean that, and the
 * plugin of this node must not encrypt by one of them. Then a copy of what the store has is kept.
 *
 * @param prove - opens the copy.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`; {StoreError} `STORE_WRITE_FAILED`; what `prove` throws.
 */
export async function giveUpVersions(
  {
    storePath,
    stored,
    brought,
  }: { readonly storePath: string; readonly stored: StoredKeyring; readonly brought: Keyring },
  { acceptRetired, encryptingHere }: GivingUp,
  prove: (bytesReadBack: Uint8Array) => Promise<void>,
): Promise<GivenUp> {
  const spent = retiredBy(stored.keyring, brought)
  const version = spent.at(-1)?.number
  if (version === undefined) return { versions: [], keptAs: undefined }
  const versions = spent.map(({ number }) => number)
  const encrypting = await encryptingHere()
  if (encrypting !== undefined && encrypting.version <= version) {
    throw new KmsKeyringError(
      'KMS_KEYRING_VERSION',
      `the keyring that was brought has version ${list(versions)} retired, and the KMS plugin of this node encrypts by version ${encrypting.version}: ` +
        'nothing was written. Import one from before the retirement first (keyring.before-retire-N in the store of the node that retired it), ' +
        'until sealctl kms verify-key names the newer version here; then sealctl kms verify-rotation again',
    )
  }
  if (!acceptRetired) {
    throw new KmsKeyringError(
      'KMS_KEYRING_VERSION',
      `the keyring that was brought has version ${list(versions)} retired, by which this node still decrypts: nothing was written. If they are needed no ` +
        'longer, --accept-retired. If they are, take the retirement back on the other node, with sealctl kms keyring restore and an export of this one',
    )
  }
  return { versions, keptAs: await keepCopy({ storePath, bytes: stored.bytes, version, prove }) }
}

/** The versions of a keyring that another one has retired. */
function retiredBy(own: Keyring, brought: Keyring): readonly Omit<KmsGeneration, 'key'>[] {
  return kmsChain(own).filter(
    ({ id, state }) => state !== 'retired' && findGeneration(brought, id)?.state === 'retired',
  )
}

function list(versions: readonly number[]): string {
  return versions.join(', ')
}
