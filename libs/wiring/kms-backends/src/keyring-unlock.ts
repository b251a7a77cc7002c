import { sameBytes } from '@sealwright/bytes'
import {
  assertKmsKeyring,
  assertOrigin,
  encodeKeyring,
  type Keyring,
  kmsChain,
  kmsKeyringOf,
  type SealKeys,
  decodeKeyring,
} from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import {
  type ConfiguredSeal,
  openKeyringStore,
  proveThrough,
  tendSeals,
  type Unlocked,
  unwrapThroughAny,
} from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealFailure } from '@sealwright/unseal'
import { KmsKeyringError, listOf } from './keyring-error.ts'
import { readStored } from './keyring-store.ts'

/** The store of a node's KMS keyring, and who opens it. */
export interface KeyringNode {
  readonly config: Pick<KeyringBackendConfig, 'store' | 'clusterId'>
  /** Of the configuration, that open without people and are not disabled, best priority first. */
  readonly seals: readonly ConfiguredSeal[]
  /** For a member that is new; one that is listed keeps its own. */
  readonly label: string
}

/** What a change makes of a keyring. */
export interface ChangedKeyring {
  readonly keyring: Keyring
  /** Hold the keys of `keyring`. They may share those that were given, and are wiped as well. */
  readonly sealKeys: SealKeys
  /** Seals of this node that the change has made records for: they are proven, too. Left out: none. */
  readonly renewed?: readonly string[]
}

/** How the keyring in the store was opened, for what a change does beside changing it. */
export interface OpenedStore {
  /** What the store has. */
  readonly bytes: Uint8Array
  /** The seal that opened it. */
  readonly seal: ConfiguredSeal
  /** Seals that have not failed. */
  readonly willing: readonly ConfiguredSeal[]
  /** Gets those of seals that must not be asked again: a PIN that is wrong would count twice. */
  readonly failures: Map<string, SealFailure>
}

/** What was written. */
export interface WrittenKeyring {
  readonly keyring: Keyring
  /** By which seal it was opened, and proven. */
  readonly openedBy: string
  /** Seals of this node that have new records, proven as well. */
  readonly renewed: readonly string[]
  /** Seals of this node that did not open it, or could not be looked after, by name. */
  readonly failures: ReadonlyMap<string, SealFailure>
}

/**
 * Changes the keyring in the store of this node: a seal gives the plain keys for a moment, devices of this node get what they lack, the
 * result is written, opened from there by the same seal, and only then put in its place. Killed anywhere, the store has the old keyring
 * or the new.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_MISSING`, `KMS_KEYRING_SEALED`; {KeyringError} `KEYRING_OTHER_USE` before a seal is asked,
 *   `KEYRING_OTHER_CLUSTER`, `KEYRING_ORIGIN_UNPROVEN`; {StoreError}; what `change` throws. After each the store is as it was.
 */
export async function changeKeyring(
  { config, seals, label }: KeyringNode,
  change: (unlocked: Unlocked, opened: OpenedStore) => ChangedKeyring | Promise<ChangedKeyring>,
  signal: AbortSignal,
): Promise<WrittenKeyring> {
  const stored = await readStored(config.store)
  assertKmsKeyring(stored.keyring)
  const failures = new Map<string, SealFailure>()
  const opened = await unlock(seals, stored.keyring, failures, signal)
  using sealKeys = opened.sealKeys
  assertOrigin(kmsKeyringOf(stored.keyring, sealKeys), clusterIdBytes(config))
  const surroundings = { now: Date.now, randomBytes: randomKeyBytes, signal }
  // A seal that has just failed is not asked again: a PIN that is wrong would count twice.
  const stillWilling = (): readonly ConfiguredSeal[] => seals.filter(({ name }) => !failures.has(name))
  const changed = await change(
    { ...surroundings, keyring: stored.keyring, sealKeys },
    { bytes: stored.bytes, seal: opened.seal, willing: stillWilling(), failures },
  )
  using changedKeys = changed.sealKeys
  const willing = stillWilling()
  const tended = await tendSeals({ ...surroundings, ...changed, sealKeys: changedKeys, seals: willing, label })
  for (const [name, failure] of tended.failures) failures.set(name, failure)
  const renewed = [...new Set([...(changed.renewed ?? []), ...tended.renewed])]
  const proving = willing.filter(({ name }) => name === opened.sealName || renewed.includes(name))
  await using store = await openKeyringStore(config.store)
  await store.writeKeyring({
    ...{ bytes: encodeKeyring(tended.keyring), expectedCurrent: stored.bytes, signal },
    prove: async readBack => {
      const next = { former: stored.keyring, keyring: decodeKeyring(readBack) }
      for (const seal of proving) await proveThrough(seal, next, signal)
    },
  })
  return { keyring: tended.keyring, openedBy: opened.sealName, renewed, failures }
}

/**
 * The plain keys through the first seal that opens, one try each.
 *
 * @param failures - gets those of the seals that did not.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_SEALED`.
 */
export async function unlock(
  seals: readonly ConfiguredSeal[],
  keyring: Keyring,
  failures: Map<string, SealFailure>,
  signal: AbortSignal,
): Promise<{ readonly sealName: string; readonly seal: ConfiguredSeal; readonly sealKeys: SealKeys }> {
  const opened = await unwrapThroughAny(seals, keyring, {
    signal,
    onFailure: ({ sealName, ...failure }) => failures.set(sealName, failure),
  })
  const seal = seals.find(({ name }) => name === opened?.sealName)
  if (opened !== undefined && seal !== undefined) return { ...opened, seal }
  throw new KmsKeyringError(
    'KMS_KEYRING_SEALED',
    `no seal of this node opens the keyring now, and nothing was changed (${listOf(failures)})`,
  )
}

/**
 * Refuses a keyring in which two nodes have rotated at the same time: what one of them encrypted since could be decrypted by no node that
 * goes on from the other.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_FORKED`.
 */
export function assertNotForked(keyring: Keyring): void {
  const chain = kmsChain(keyring)
  const beside = keyring.generations.filter(
    ({ id, state }) => state !== 'retired' && !chain.some(each => sameBytes(each.id, id)),
  )
  const [first] = beside
  if (first === undefined) return
  throw new KmsKeyringError(
    'KMS_KEYRING_FORKED',
    `two nodes have rotated at the same time, and each has a version ${first.number} of its own: nothing was written. Choose the node whose version ` +
      'is to stay, best one whose version encrypts already. On each other one, before its own version begins to encrypt: cp -p keyring.previous keyring ' +
      'in its store, and sealctl kms keyring show. If its own version is gone, import from the node that was chosen. If it is still listed, move the ' +
      'whole store aside, and import into the empty place. See docs/runbooks/kms-keyring.md',
  )
}

/** Of the configuration. */
export function clusterIdBytes({ clusterId }: Pick<KeyringBackendConfig, 'clusterId'>): Uint8Array | undefined {
  return clusterId === undefined ? undefined : Buffer.from(clusterId, 'hex')
}
