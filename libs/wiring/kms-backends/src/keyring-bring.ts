import { hex, sameBytes } from '@sealwright/bytes'
import {
  assertKmsKeyring,
  decodeKeyring,
  followSealKeys,
  type Keyring,
  KeyringError,
  OpenKeyring,
  type SealKeys,
} from '@sealwright/keyring'
import { type Adopted, adoptKeyring, type ConfiguredSeal, proveThrough, unwrapThroughAny } from '@sealwright/node-seals'
import { type SealFailure } from '@sealwright/unseal'
import { type GivenUp, type GivingUp, giveUpVersions } from './keyring-given-up.ts'
import { findStored } from './keyring-store.ts'
import { assertNotForked, clusterIdBytes, type KeyringNode, unlock } from './keyring-unlock.ts'

/** What came of it. */
export interface Imported extends Adopted {
  readonly givenUp: GivenUp
}

/**
 * Takes in what another node knows: unites it with what this node has, gives the devices of this node the records that they lack, and
 * proves that they open it. Nothing that this node has is lost by it; versions that are retired by it have to be meant.
 *
 * @param brought.clusterId - 16 bytes, of the keyring, where an operator says which it must be.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_SEALED`, `KMS_KEYRING_FORKED`, `KMS_KEYRING_VERSION`; {KeyringError} `KEYRING_OTHER_USE`, `KEYRING_OTHER_CLUSTER`,
 *   `KEYRING_ORIGIN_UNPROVEN` and others; {EnrolmentError}; {StoreError}. After each the store is as it was.
 */
export async function importKeyring(
  { config, seals, label }: KeyringNode,
  brought: { readonly keyring: Keyring; readonly clusterId: Uint8Array | undefined } & GivingUp,
  signal: AbortSignal,
): Promise<Imported> {
  assertKmsKeyring(brought.keyring)
  const stored = await findStored(config.store)
  if (stored !== undefined) assertKmsKeyring(stored.keyring)
  const clusterId = brought.clusterId ?? clusterIdBytes(config) ?? stored?.keyring.clusterId
  assertCluster(brought.keyring, clusterId)
  const failures = new Map<string, SealFailure>()
  /** A PIN that was refused is not sent again. */
  const willing = (): readonly ConfiguredSeal[] => seals.filter(({ name }) => failures.get(name)?.kind !== 'operator')
  const united =
    stored === undefined ? undefined : await unite(stored.keyring, brought.keyring, { seals, failures, signal })
  using unitedKeys = united?.sealKeys
  const keyring = united?.keyring ?? brought.keyring
  const givenUp =
    stored === undefined
      ? { versions: [], keptAs: undefined }
      : await giveUpVersions({ storePath: config.store, stored, brought: brought.keyring }, brought, async readBack => {
          // Where no seal opens what this node has, there is none that could open the copy.
          if (united !== undefined)
            await proveThrough(united.seal, { former: stored.keyring, keyring: decodeKeyring(readBack) }, signal)
        })
  using broughtKeys =
    unitedKeys === undefined ? (await unlock(willing(), keyring, failures, signal)).sealKeys : undefined
  const sealKeys = unitedKeys ?? broughtKeys
  if (sealKeys === undefined) throw new TypeError('one of the two was opened')
  const adopted = await adoptKeyring(
    { keyring, sealKeys, clusterId, seals: willing(), storePath: config.store, label, assertFit: assertNotForked },
    signal,
  )
  const refused = [...failures].filter(([, { kind }]) => kind === 'operator')
  return { ...adopted, failures: new Map([...refused, ...adopted.failures]), givenUp }
}

/** A keyring, and the keys of what it lists. */
interface United {
  readonly keyring: Keyring
  /** The caller's. */
  readonly sealKeys: SealKeys
  /** Opened what this node has. */
  readonly seal: ConfiguredSeal
}

/**
 * What this node's own keyring and another one say together; `undefined` if no seal opens the own one, or its keys do not lead into the
 * other one: then that has to be opened by itself.
 */
async function unite(
  own: Keyring,
  brought: Keyring,
  {
    seals,
    failures,
    signal,
  }: {
    readonly seals: readonly ConfiguredSeal[]
    readonly failures: Map<string, SealFailure>
    readonly signal: AbortSignal
  },
): Promise<United | undefined> {
  const opened = await unwrapThroughAny(seals, own, {
    signal,
    onFailure: ({ sealName, ...failure }) => failures.set(sealName, failure),
  })
  const seal = seals.find(({ name }) => name === opened?.sealName)
  if (opened === undefined || seal === undefined) return undefined
  using ownKeys = opened.sealKeys
  try {
    using keys = followSealKeys({ keyring: brought, sealKeys: ownKeys })
    using open = OpenKeyring.from(own, ownKeys)
    using other = OpenKeyring.from(brought, keys)
    const { keyring } = open.mergedWith(other)
    return { keyring, sealKeys: followSealKeys({ keyring, sealKeys: ownKeys }), seal }
  } catch (error) {
    if (error instanceof KeyringError && (error.code === 'KEYRING_OTHER_KEY' || error.code === 'KEYRING_LINK_BROKEN'))
      return undefined
    throw error
  }
}

/** Before any seal is asked: a TPM that refuses a keyring of another cluster would speak of a forgery. */
function assertCluster({ clusterId: brought }: Keyring, expected: Uint8Array | undefined): void {
  if (expected === undefined || sameBytes(expected, brought)) return
  throw new KeyringError(
    'KEYRING_OTHER_CLUSTER',
    `the keyring is of another cluster: of ${hex(brought)}, and this node belongs to ${hex(expected)}: nothing was opened or written`,
  )
}
