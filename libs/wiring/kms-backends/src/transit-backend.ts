import { createHash } from 'node:crypto'
import { type TransitBackendConfig } from '@sealwright/kms-config'
import { type KeyObservation, KmsError, type KmsBackend, LINEAGE_BYTES } from '@sealwright/kms-v2'
import { transitConnection } from '@sealwright/node-seals'
import { openTransitPool, type TransitKeyVersions } from '@sealwright/openbao'
import { kmsErrorOf } from './transit-failure.ts'

/** Says what a hash is for: no other use of the same bytes makes one that passes for a lineage. */
const LINEAGE_DOMAIN = 'sealwright kms transit lineage v1'

/** What every ciphertext of the engine begins with, before its version. */
const CIPHERTEXT_PREFIX = 'vault:v'

/**
 * A key of the transit engine of an OpenBao. Every key-encryption key stays there: each call is one item of one request.
 *
 * @throws {TransitError} `TRANSIT_OPTIONS_INVALID`.
 */
export function transitBackend(config: TransitBackendConfig): KmsBackend {
  const { addresses, mountPath, namespace, keyName, deadlineMs: timeoutMs, patienceMs } = config
  const pool = openTransitPool({
    ...{ addresses, mountPath, keyName, timeoutMs, patienceMs },
    ...(namespace === undefined ? {} : { namespace }),
    ...transitConnection(config, addresses),
  })

  const inOurWords = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      throw kmsErrorOf(error)
    }
  }

  return {
    provider: 'transit',
    observe: async ({ signal }) => await inOurWords(async () => observationOf(await pool.readKey({ signal }))),
    encrypt: async ({ version: keyVersion, plaintext, associatedData }, { signal }) =>
      await inOurWords(async () => {
        const { text } = await pool.encrypt(plaintext, { associatedData, keyVersion, signal })
        return Uint8Array.from(Buffer.from(text.slice(prefixOf(keyVersion).length), 'base64'))
      }),
    decrypt: async ({ version: keyVersion, wrapped, associatedData }, { signal }) =>
      await inOurWords(async () => {
        const text = prefixOf(keyVersion) + Buffer.from(wrapped).toString('base64')
        return await pool.decrypt({ text, keyVersion }, { associatedData, signal })
      }),
    [Symbol.asyncDispose]: async () => {
      await pool.close()
    },
  }
}

function prefixOf(keyVersion: number): string {
  return `${CIPHERTEXT_PREFIX}${keyVersion}:`
}

/**
 * What the engine says of a key, in the words of KMS.
 *
 * @throws {@link KmsError} `KMS_KEY_GONE` for a key that cannot do what is needed.
 */
function observationOf(key: TransitKeyVersions): KeyObservation {
  if (key.derived || key.softDeleted) {
    throw new KmsError(
      'KMS_KEY_GONE',
      'the key is soft-deleted, or one for derivation: restore it, or name another one',
    )
  }
  return {
    versions: [...key.versions]
      .map(([version, createdAtMs]) => ({ version, createdAtMs, lineage: lineageOf(version, createdAtMs) }))
      .sort((a, b) => a.version - b.version),
    oldestDecryptable: key.minDecryptionVersion,
    oldestEncryptable: key.minEncryptionVersion,
  }
}

/**
 * What no other key has: the moment at which the engine made this version. It stays with the key through backups, moves and renaming,
 * and is another one for a key that was deleted and made anew.
 */
function lineageOf(version: number, createdAtMs: number): Uint8Array {
  const hash = createHash('sha256').update(JSON.stringify([LINEAGE_DOMAIN, version, createdAtMs]))
  return Uint8Array.from(hash.digest().subarray(0, LINEAGE_BYTES))
}
