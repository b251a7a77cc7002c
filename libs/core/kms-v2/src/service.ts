import { type Secret } from '@sealwright/secret'

/**
 * Kubernetes KMS v2, as values (k8s.io/kms, apis/v2/api.proto).
 *
 * @see https://kubernetes.io/docs/tasks/administer-cluster/kms-provider/
 */

/** What each call takes. */
export interface KmsCall {
  /** Aborted when the caller has gone, or its deadline has passed. */
  readonly signal: AbortSignal
}

/** Keys are domain names, values are anything; 32 KiB in all. */
export type Annotations = ReadonlyMap<string, Uint8Array>

export interface EncryptRequest {
  /** 1 to 256 bytes; kube-apiserver sends a seed of 32. The caller's, who wipes it once there is an answer or an error. */
  readonly plaintext: Secret
  /** Of the request, for logs. Untrusted text. */
  readonly uid: string
}

export interface EncryptResponse {
  /** 1 to 1,024 bytes. */
  readonly ciphertext: Uint8Array
  /** 1 to 1,024 bytes of UTF-8. */
  readonly keyId: string
  readonly annotations: Annotations
}

/** Everything in it is untrusted: it comes from etcd. */
export interface DecryptRequest {
  readonly ciphertext: Uint8Array
  readonly uid: string
  readonly keyId: string
  readonly annotations: Annotations
}

export interface DecryptResponse {
  /** The receiver's, who wipes it once it has been sent. */
  readonly plaintext: Secret
}

export interface StatusResponse {
  readonly version: 'v2'
  /** `ok`, or what is wrong. */
  readonly healthz: string
  /** Of the key that new data is encrypted by. */
  readonly keyId: string
}

/** A provider of Kubernetes KMS v2. Each function may throw {@link KmsError}. */
export interface KmsV2Service {
  /** Answers from memory. Throws rather than name a key that must not encrypt: whoever hears its name goes on with what it has by it. */
  readonly status: () => StatusResponse
  readonly encrypt: (request: EncryptRequest, call: KmsCall) => Promise<EncryptResponse>
  readonly decrypt: (request: DecryptRequest, call: KmsCall) => Promise<DecryptResponse>
}
