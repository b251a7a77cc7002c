import { createReadStream } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { decodeKeyring, type Keyring, MAX_KEYRING_BYTES } from '@sealwright/keyring'
import { readSealFacts } from '@sealwright/raft-snapshot'
import { decodeSealBlob } from '@sealwright/seal-plugin'
import { LocalError } from './errors.ts'

/** Where a keyring is taken from, when there is no store. */
export type KeyringSource =
  | { readonly kind: 'snapshot'; readonly path: string }
  /** As `sealctl keyring export` writes it, or the file of another node's store. */
  | { readonly kind: 'file'; readonly path: string }

/** What was brought to this machine. */
export interface Brought {
  readonly keyring: Keyring
  /** The raft servers of a snapshot, by their `node_id`; `undefined` where there is none. */
  readonly servers: readonly string[] | undefined
}

/** As {@link readBroughtKeyring}, with what a snapshot says beside it. */
export async function readBrought(source: KeyringSource, signal: AbortSignal): Promise<Brought> {
  if (source.kind === 'file') return { keyring: await readBroughtKeyring(source, signal), servers: undefined }
  const { bytes, servers } = await readFromSnapshot(source.path, signal)
  return { keyring: decodeKeyring(bytes), servers }
}

/**
 * Reads a keyring that was brought to this machine. Of a snapshot it is the one that lies beside the root key; the whole snapshot is
 * read, and must be whole.
 *
 * @throws {@link LocalError} `LOCAL_INPUT_UNREADABLE`, `LOCAL_SNAPSHOT_WITHOUT_KEYRING`; {RaftSnapshotError}, {KeyringError}, {SealPluginError}.
 */
export async function readBroughtKeyring(source: KeyringSource, signal: AbortSignal): Promise<Keyring> {
  return decodeKeyring(
    source.kind === 'file' ? await readKeyringFile(source.path) : (await readFromSnapshot(source.path, signal)).bytes,
  )
}

async function readFromSnapshot(
  path: string,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly servers: readonly string[] }> {
  const { storedKeys, sealConfig, snapshot } = await readSealFacts(createReadStream(path), { signal })
  const { wrappedKey, keyId } = decodeSealBlob(storedKeys)
  if (wrappedKey.byteLength > 0) {
    return { bytes: wrappedKey, servers: snapshot.metadata.servers.map(({ id }) => id) }
  }
  throw new LocalError(
    'LOCAL_SNAPSHOT_WITHOUT_KEYRING',
    `the snapshot holds no keyring: its root key is sealed by "${sealConfig.type}" under the key ${keyId}; bring the keyring of a node with --keyring`,
  )
}

async function readKeyringFile(path: string): Promise<Uint8Array> {
  try {
    // One byte more than a keyring may have, which decoding then refuses.
    return await buffer(createReadStream(path, { end: MAX_KEYRING_BYTES }))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LocalError('LOCAL_INPUT_UNREADABLE', `cannot read the keyring ${path}: ${reason}`, { cause })
  }
}
