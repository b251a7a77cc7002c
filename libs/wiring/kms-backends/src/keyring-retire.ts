import { type Keyring, kmsChain, type KmsGeneration, retireGeneration } from '@sealwright/keyring'
import { keyIdOf } from '@sealwright/kms-v2'
import { KmsKeyringError } from './keyring-error.ts'
import { changeKeyring, type KeyringNode, type WrittenKeyring } from './keyring-unlock.ts'
import { type RotationVerification } from './rotation-verification.ts'

/** What shows that versions are needed no longer: a look at the cluster, or an operator's word. */
export type RetirementProof =
  { readonly kind: 'verification'; readonly verification: RotationVerification } | { readonly kind: 'word-of-operator' }

/** So old may a verification be: meanwhile an old backup of etcd may have been restored. */
const MAX_VERIFICATION_AGE_MS = 86_400_000

export interface RetiredVersions extends WrittenKeyring {
  readonly retired: readonly number[]
}

export interface RetireOptions {
  /** That one and all that are older. */
  readonly version: number
  readonly proof: RetirementProof
  /** The Kubernetes cluster, as the configuration of the KMS plugin names it. */
  readonly kubernetesClusterId: string
  /** Of the configuration: so long after its date each node begins to encrypt by a version. */
  readonly activationDelayMs: number
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/**
 * Retires a version of the key, and all that are older: what was encrypted by them can never be decrypted again. Never the one that nodes
 * encrypt by, nor one that comes after it.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`, `KMS_KEYRING_NOT_VERIFIED`; as `changeKeyring`.
 */
export async function retireVersions(
  node: KeyringNode,
  options: RetireOptions,
  signal: AbortSignal,
): Promise<RetiredVersions> {
  let retired: readonly number[] = []
  const written = await changeKeyring(
    node,
    ({ keyring: before, sealKeys }) => {
      const spent = spentBy(before, options)
      retired = spent.map(({ number }) => number)
      const keyring = spent.reduce((next, { id }) => retireGeneration({ keyring: next, sealKeys, id }), before)
      return { keyring, sealKeys }
    },
    signal,
  )
  return { ...written, retired }
}

/** @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION`, `KMS_KEYRING_NOT_VERIFIED`. */
function spentBy(keyring: Keyring, options: RetireOptions): readonly Omit<KmsGeneration, 'key'>[] {
  const { version, proof, activationDelayMs, nowMs } = options
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
  if (proof.kind === 'verification') assertVerified(proof.verification, { ...options, chain, encrypting })
  return chain.filter(({ number, state }) => number <= version && state === 'active')
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
    throw notVerified('it is not of the last 24 hours')
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
