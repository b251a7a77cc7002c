/** A KMS v2 provider, as a plugin serves it on a Unix socket. */
export interface KmsProvider {
  /** Begins the stored value: `k8s:enc:kms:v2:<name>:`. */
  readonly name: string
  readonly socketPath: string
  /** For one call; the API server's own default is 3 s. */
  readonly timeoutMs?: number
}

/** How a Secret may be stored. The first of several is for writing; each is tried for reading. `identity`: in clear. */
export type EncryptionProvider = 'identity' | { readonly kms: KmsProvider }

/** The `EncryptionConfiguration` of an API server. */
export interface Encryption {
  readonly providers: readonly EncryptionProvider[]
  /** `secrets` by default. */
  readonly resources?: readonly string[]
  /** Whether the API server looks once a minute whether the file has changed. */
  readonly reload?: boolean
}

/** The configuration as a file for `--encryption-provider-config`. JSON is YAML, too. */
export function encryptionConfiguration({ providers, resources = ['secrets'] }: Encryption): string {
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources, providers: providers.map(providerConfiguration) }],
  })
}

function providerConfiguration(provider: EncryptionProvider): unknown {
  if (provider === 'identity') return { identity: {} }
  const { name, socketPath, timeoutMs } = provider.kms
  const timeout = timeoutMs === undefined ? {} : { timeout: `${timeoutMs}ms` }
  return { kms: { apiVersion: 'v2', name, endpoint: `unix://${socketPath}`, ...timeout } }
}
