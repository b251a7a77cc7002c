import { type KmsConfig } from '@sealwright/kms-config'
import { kmsBackend, readStored, supportOf } from '@sealwright/kms-backends'
import {
  activeVersion,
  type KeyLife,
  type KeyObservation,
  keyIdOf,
  type KmsProvider,
  observeKey,
  pendingVersion,
  type VersionPhase,
} from '@sealwright/kms-v2'
import { kmsChain } from '@sealwright/keyring'
import { SEAL_CONTEXT } from '../../seal-context.ts'
import { KmsCommandError } from './errors.ts'

/** One version of the key. */
export interface VersionFacts {
  readonly version: number
  readonly lineage: Uint8Array
  readonly createdAtMs: number
  /** When nodes begin to encrypt by it, by its date and the configuration. */
  readonly encryptsFromMs: number
  readonly keyId: string
  readonly phase: VersionPhase
}

/** What the backend says of the key, and what a node makes of it that sees it for the first time now. */
export interface KeyFacts {
  readonly clusterId: string
  readonly provider: KmsProvider
  readonly versions: readonly [VersionFacts, ...VersionFacts[]]
  readonly active: VersionFacts
  /** The newest that waits; undefined if none does. */
  readonly pending: VersionFacts | undefined
  readonly oldestDecryptable: number
  readonly oldestEncryptable: number
}

/** Whether the backend decrypts by a version no more. */
export function isRetired({ versions, oldestDecryptable }: KeyFacts, version: number): boolean {
  return version < oldestDecryptable || versions.some(each => each.version === version && each.phase === 'retired')
}

/**
 * Asks the backend of a configuration for its key, by the configuration's own login. Of a keyring what its store lists is taken: no device
 * is asked.
 *
 * @throws {KmsError} what the backend throws; {@link KmsCommandError} `KMS_COMMAND_NO_ACTIVE_VERSION`; {KmsKeyringError}.
 */
export async function readKeyFacts(
  config: KmsConfig,
  { nowMs, signal }: { readonly nowMs: number; readonly signal: AbortSignal },
): Promise<KeyFacts> {
  const { backend } = config
  if (backend.type === 'keyring') return await factsOfStore(config, backend.store, nowMs)
  await using opened = await kmsBackend(backend, SEAL_CONTEXT)
  return factsOf(config, await opened.observe({ signal }), nowMs)
}

/** What an observation says, in the words of a configuration. @throws {@link KmsCommandError} `KMS_COMMAND_NO_ACTIVE_VERSION`; {KmsError}. */
export function factsOf(config: KmsConfig, observation: KeyObservation, nowMs: number): KeyFacts {
  const { clusterId, rotation: policy, backend } = config
  const provider = backend.type
  const life = observeKey(null, observation, { nowMs, policy, newestWorks: true, refused: new Set() })
  const describe = ({ version, lineage, createdAtMs, phase }: KeyLife['versions'][number]): VersionFacts => ({
    ...{ version, lineage, createdAtMs, phase },
    encryptsFromMs: createdAtMs + policy.activationDelayMs,
    keyId: keyIdOf({ provider, clusterId, lineage, version }),
  })
  const [first, ...others] = life.versions.map(describe)
  const active = activeVersion(life)
  if (first === undefined || active === undefined) {
    throw new KmsCommandError(
      'KMS_COMMAND_NO_ACTIVE_VERSION',
      'no version of the key may both encrypt and decrypt: lower its min_encryption_version, or rotate it',
    )
  }
  const pending = pendingVersion(life)
  return {
    ...{ clusterId, provider, versions: [first, ...others], active: describe(active) },
    pending: pending === undefined ? undefined : describe(pending),
    oldestDecryptable: observation.oldestDecryptable,
    oldestEncryptable: observation.oldestEncryptable,
  }
}

/** What a keyring lists, which nothing has proven yet. */
async function factsOfStore(config: KmsConfig, path: string, nowMs: number): Promise<KeyFacts> {
  const chain = kmsChain((await readStored(path)).keyring)
  const versions = chain.map(({ number, id, notBeforeMs }) => ({
    ...{ version: number, lineage: id, createdAtMs: notBeforeMs },
  }))
  const facts = factsOf(config, { versions, ...supportOf(chain) }, nowMs)
  // One that stays retired may be newer than one that was taken back.
  const retired = new Set(chain.flatMap(({ number, state }) => (state === 'retired' ? [number] : [])))
  const [first, ...others] = facts.versions
  const withState = (version: VersionFacts): VersionFacts =>
    retired.has(version.version) ? { ...version, phase: 'retired' } : version
  return { ...facts, versions: [withState(first), ...others.map(withState)] }
}
