import { type RaftEntry } from './entries.ts'
import { RaftSnapshotError } from './errors.ts'
import { type RaftSnapshot, readRaftSnapshot } from './read-raft-snapshot.ts'

/** Where OpenBao keeps what it must read before its barrier is open. */
const SEAL_CONFIG = 'core/seal-config'
const RECOVERY_CONFIG = 'core/recovery-config'
const STORED_KEYS = 'core/hsm/barrier-unseal-keys'
const RECOVERY_KEY = 'core/recovery-key'

const SEAL_ENTRIES: ReadonlySet<string> = new Set([SEAL_CONFIG, RECOVERY_CONFIG, STORED_KEYS, RECOVERY_KEY])

/** How the barrier, or the recovery key, is closed. */
export interface SealConfig {
  /** Such as `static` or `shamir`. Of a recovery key always `shamir`. */
  readonly type: string
  readonly secretShares: number
  readonly secretThreshold: number
}

/** What a snapshot says of its seal. The three blobs are all that an OpenBao of one namespace closes with it. */
export interface SealFacts {
  readonly snapshot: RaftSnapshot
  readonly sealConfig: SealConfig
  /** Undefined with a Shamir seal, and as long as a self-initialised cluster has no recovery key. */
  readonly recoveryConfig: SealConfig | undefined
  /** The root key of the barrier: a blob as the seal plugin's library reads it. */
  readonly storedKeys: Uint8Array
  /** The recovery key, a blob too. Undefined where there is none. */
  readonly recoveryKey: Uint8Array | undefined
}

export interface ReadSealFactsOptions {
  readonly signal: AbortSignal
  readonly maxStateBytes?: number
}

/**
 * Reads and checks a whole snapshot as {@link readRaftSnapshot} does, and gives what stands there for and by the seal. Nothing is
 * opened: whether the blobs are genuine only the seal can tell.
 *
 * @throws {@link RaftSnapshotError} any of its codes. A snapshot without stored keys is `RAFT_SNAPSHOT_SEAL_ENTRY_MISSING`: a check
 *   of the keys that the blobs name must not pass because there are none.
 */
export async function readSealFacts(
  input: AsyncIterable<Uint8Array>,
  options: ReadSealFactsOptions,
): Promise<SealFacts> {
  const found = new Map<string, Uint8Array>()
  const snapshot = await readRaftSnapshot(input, {
    ...options,
    wants: key => SEAL_ENTRIES.has(key),
    onEntry: ({ key, value }: RaftEntry) => {
      found.set(key, value)
    },
  })
  const recoveryConfig = found.get(RECOVERY_CONFIG)
  return {
    snapshot,
    sealConfig: parseSealConfig(SEAL_CONFIG, present(SEAL_CONFIG, found)),
    recoveryConfig: recoveryConfig === undefined ? undefined : parseSealConfig(RECOVERY_CONFIG, recoveryConfig),
    storedKeys: present(STORED_KEYS, found),
    recoveryKey: found.get(RECOVERY_KEY),
  }
}

function present(key: string, found: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const value = found.get(key)
  if (value !== undefined) return value
  throw new RaftSnapshotError(
    'RAFT_SNAPSHOT_SEAL_ENTRY_MISSING',
    `${key} is not in the snapshot: no OpenBao opens by it`,
  )
}

function parseSealConfig(key: string, bytes: Uint8Array): SealConfig {
  const config = parseJson(key, bytes)
  if (typeof config !== 'object' || config === null) throw malformed(key)
  const { type, secret_shares: secretShares, secret_threshold: secretThreshold } = config as Record<string, unknown>
  if (typeof type !== 'string' || !isCount(secretShares) || !isCount(secretThreshold)) throw malformed(key)
  return { type, secretShares, secretThreshold }
}

function parseJson(key: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw malformed(key, cause)
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function malformed(key: string, cause?: unknown): RaftSnapshotError {
  return new RaftSnapshotError('RAFT_SNAPSHOT_SEAL_CONFIG_MALFORMED', `${key} is not what OpenBao writes there`, {
    cause,
  })
}
