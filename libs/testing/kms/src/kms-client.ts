import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import {
  type ChannelCredentials,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { repositoryRoot } from '@sealwright/testing-rig'

/** What a provider says of itself. */
export interface KmsStatus {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

/** What kube-apiserver stores of an encrypted seed, and gives back to have it decrypted. */
export interface EncryptedSeed {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Uint8Array>>
}

export interface KmsCallOptions {
  /** Default: 3 s, as kube-apiserver has it. */
  readonly timeoutMs?: number
}

/** A client of a KMS v2 provider, by the gRPC library of Node. Each call may reject with a {@link KmsCallError}. */
export interface KmsClient {
  readonly status: (options?: KmsCallOptions) => Promise<KmsStatus>
  readonly encrypt: (plaintext: Uint8Array, options?: KmsCallOptions) => Promise<EncryptedSeed>
  readonly decrypt: (encrypted: EncryptedSeed, options?: KmsCallOptions) => Promise<Uint8Array>
  readonly close: () => void
}

/** A call that was not answered as it should be. */
export class KmsCallError extends Error {
  override readonly name = 'KmsCallError'
  /** Name of the gRPC status, such as `UNAVAILABLE`. */
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const APISERVER_TIMEOUT_MS = 3_000

/** The methods as grpc-js makes them. */
type Method = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, answer: unknown) => void,
) => void
type Service = Readonly<Record<'Status' | 'Encrypt' | 'Decrypt', Method>> & { readonly close: () => void }
type ServiceClass = new (
  address: string,
  credentials: ChannelCredentials,
  options: Readonly<Record<string, string>>,
) => Service

/** Makes a client; it connects with its first call. */
export function kmsClient(socketPath: string): KmsClient {
  const definition = loadSync(join(repositoryRoot(), 'proto/v2/api.proto'))
  const { v2 } = loadPackageDefinition(definition) as unknown as {
    readonly v2: { readonly KeyManagementService: ServiceClass }
  }
  const service = new v2.KeyManagementService(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  const call = async (name: 'Status' | 'Encrypt' | 'Decrypt', request: object, options: KmsCallOptions) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const deadline = Date.now() + (options.timeoutMs ?? APISERVER_TIMEOUT_MS)
    service[name](request, new Metadata(), { deadline }, (error, answer) => {
      if (error === null) resolve(answer)
      else reject(new KmsCallError(status[error.code], error.details, { cause: error }))
    })
    return await promise
  }
  return {
    status: async (options = {}) => (await call('Status', {}, options)) as KmsStatus,
    encrypt: async (plaintext, options = {}) =>
      (await call('Encrypt', { plaintext, uid: randomUUID() }, options)) as EncryptedSeed,
    decrypt: async (encrypted, options = {}) => {
      const answer = await call('Decrypt', { ...encrypted, uid: randomUUID() }, options)
      return (answer as { readonly plaintext: Uint8Array }).plaintext
    },
    close: () => {
      service.close()
    },
  }
}
