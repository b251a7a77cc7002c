import { sameBytes } from '@sealwright/bytes'
import { decodeKeyring, type Keyring, kmsChain, type KmsGeneration, retireGeneration } from '@sealwright/keyring'
import { keyIdOf } from '@sealwright/kms-v2'
import { proveThrough } from '@sealwright/node-seals'
import { keepCopy } from './keyring-copy.ts'
import { KmsKeyringError } from './keyring-error.ts'
import { type EncryptingVersion } from './keyring-given-up.ts'
import { changeKeyring, type KeyringNode, type WrittenKeyring } from './keyring-unlock.ts'
import { type RotationVerification } from './rotation-verification.ts'

/** What shows that versions are needed no longer: a look at the cluster, or an operator's word. */
export type RetirementProof =
  { readonly kind: 'verification'; readonly verification: RotationVerification } | { readonly kind: 'word-of-operator' }

const MS_PER_MINUTE = 60_000
/** So old may a verification be: meanwhile a node that lags behind may have written, or an old backup of etcd may have been restored. */
const MAX_VERIFICATION_AGE_MINUTES = 15
const MAX_VERIFICATION_AGE_MS = MAX_VERIFICATION_AGE_MINUTES * MS_PER_MINUTE

export interface RetiredVersions extends WrittenKeyring {
  readonly retired: readonly number[]
  /** Where the keyring from before is kept: `restoreVersions` takes it. */
  readonly keptAs: string
}

export interface RetireOptions {
  /** That one and all that are older. */
  readonly version: number
  readonly proof: RetirementProof
  /** The Kubernetes cluster, as the configuration of the KMS plugin names it. */
  readonly kubernetesClusterId: string
  /** Of the configuration: so long after its date each node begins to encrypt by a version. */
  readonly activationDelayMs: number
  /** What the plugin of this node encrypts by, as it remembers; `undefined` if it has not encrypted yet. */
  readonly encryptingHere: EncryptingVersion | undefined
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/**
 * Retires a version of the key, and all that are older: what was encrypted by them is decrypted no more. Never the one that nodes encrypt
 * by, by its date or as the plugin of this node remembers, nor one that comes after it. A copy from before is kept, and opened.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`, `KMS_KEYRING_NOT_VERIFIED`; {StoreError} `STORE_WRITE_FAILED`; as `changeKeyring`.
 */
export async function retireVersions(
  node: KeyringNode,
  options: RetireOptions,
  signal: AbortSignal,
): Promise<RetiredVersions> {
  let retired: readonly number[] = []
  let keptAs = ''
  const written = await changeKeyring(
    node,
    async ({ keyring: before, sealKeys }, { bytes, seal }) => {
      const spent = spentBy(before, options)
      retired = spent.map(({ number }) => number)
      keptAs = await keepCopy({
        ...{ storePath: node.config.store, bytes, version: options.version },
        prove: readBack => proveThrough(seal, { former: before, keyring: decodeKeyring(readBack) }, signal),
      })
      const keyring = spent.reduce((next, { id }) => retireGeneration({ keyring: next, sealKeys, id }), before)
      return { keyring, sealKeys }
    },
    signal,
  )
  return { ...written, retired, keptAs }
}

/** @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`, `KMS_KEYRING_NOT_VERIFIED`. */
function spentBy(keyring: Keyring, options: RetireOptions): readonly Omit<KmsGeneration, 'key'>[] {
  const { version, proof, activationDelayMs, encryptingHere, nowMs } = options
  const chain = kmsChain(keyring)
  const encrypting = chain.findLast(({ notBeforeMs }) => notBeforeMs + activationDelayMs <= nowMs) ?? chain[0]
  const named = chain.find(({ number }) => number === version)
  if (named === undefined || encrypting === undefined) throw wrongVersion(`there is no version ${version}`)
  if (named.state === 'retired') throw wrongVersion(`version ${version} is retired already`)
  if (version >= encrypting.number) {
    throw wrongVersion(
      `nodes encrypt by version ${encrypting.number}: only versions before it can be retired, once all data was written anew`,
    )
  }
  assertNotInUse(chain, version, encryptingHere)
  if (proof.kind === 'verification') assertVerified(proof.verification, { ...options, chain, encrypting })
  return chain.filter(({ number, state }) => number <= version && state === 'active')
}

/** The date of a version does not show that the plugin has taken it over: it may be stopped, or not have got it. */
function assertNotInUse(
  chain: readonly Omit<KmsGeneration, 'key'>[],
  version: number,
  encrypting: EncryptingVersion | undefined,
): void {
  if (encrypting === undefined) return
  const advice = 'see sealctl kms verify-key'
  if (version >= encrypting.version) {
    throw wrongVersion(`the KMS plugin of this node encrypts by version ${encrypting.version} (${advice})`)
  }
  const isOurs = chain.some(({ id }) => sameBytes(id, encrypting.lineage))
  if (!isOurs) {
    throw wrongVersion(
      `the KMS plugin of this node encrypts by a version ${encrypting.version} that this keyring does not have (${advice})`,
    )
  }
}

function assertVerified(
  { clusterId, verifiedAtMs, keyIds }: RotationVerification,
  {
    version,
    kubernetesClusterId,
    activationDelayMs,
    nowMs,
    chain,
    encrypting,
  }: RetireOptions & {
    readonly chain: readonly Omit<KmsGeneration, 'key'>[]
    readonly encrypting: Pick<KmsGeneration, 'notBeforeMs' | 'number'>
  },
): void {
  if (clusterId !== kubernetesClusterId) {
    throw notVerified(`it is of the cluster ${clusterId}, and this one is ${kubernetesClusterId}`)
  }
  if (verifiedAtMs > nowMs || nowMs - verifiedAtMs > MAX_VERIFICATION_AGE_MS) {
    throw notVerified(`it is not of the last ${MAX_VERIFICATION_AGE_MINUTES} minutes`)
  }
  if (encrypting.number > 1 && verifiedAtMs < encrypting.notBeforeMs + activationDelayMs) {
    throw notVerified(`it is from before version ${encrypting.number} began to encrypt`)
  }
  if (keyIds.length === 0)
    throw notVerified('it has found nothing that is encrypted: was it given the right resources?')
  const staying = new Set(
    chain
      .filter(({ number }) => number > version)
      .map(({ number, id }) =>
        keyIdOf({ provider: 'keyring', clusterId: kubernetesClusterId, lineage: id, version: number }),
      ),
  )
  const others = keyIds.filter(keyId => !staying.has(keyId))
  if (others.length === 0) return
  throw notVerified(
    `something is still encrypted by ${others.length} other key id(s) than those of versions that stay: write it anew first`,
  )
}

function wrongVersion(reason: string): KmsKeyringError {
  return new KmsKeyringError('KMS_KEYRING_VERSION', `${reason}: nothing was retired`)
}

function notVerified(reason: string): KmsKeyringError {
  return new KmsKeyringError(
    'KMS_KEYRING_NOT_VERIFIED',
    `the verification does not show that these versions are needed no longer (${reason}): nothing was retired. Make it anew with sealctl kms verify-rotation`,
  )
}
