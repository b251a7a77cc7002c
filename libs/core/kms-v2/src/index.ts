export { adoptKey } from './adopt-key.ts'
export { type KeyObservation, type KeyVersion, type KmsBackend, type KmsProvider } from './backend.ts'
export { type KmsCiphertext, MAX_CIPHERTEXT_BYTES, parseCiphertext } from './ciphertext.ts'
export {
  type GrpcStatus,
  grpcStatusOf,
  KmsError,
  type KmsErrorCode,
  KmsStateError,
  type KmsStateErrorCode,
} from './errors.ts'
export { type HealthPolicy, illnessOf, NO_PROBES, probeFailed, type ProbeHistory, probePassed } from './health.ts'
export { type KeyIdentity, keyIdOf, LINEAGE_BYTES } from './key-id.ts'
export {
  activeVersion,
  type KeyLife,
  type KeyTrials,
  type KnownVersion,
  observeKey,
  type ObserveOptions,
  pendingVersion,
  type RotationPolicy,
  type SampledVersion,
  type VersionPhase,
} from './key-life.ts'
export { type KeyLook, lookAtKey, type LookOptions } from './look.ts'
export { kmsV2Service, MAX_PLAINTEXT_BYTES, type ServiceOptions } from './service-of-backend.ts'
export {
  type Annotations,
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  type KmsCall,
  type KmsV2Service,
  type StatusResponse,
} from './service.ts'
export {
  encodeState,
  KMS_STATE_FILE,
  type KmsState,
  MAX_STATE_BYTES,
  parseState,
  type RememberedLife,
} from './state.ts'
export { describeTrouble, type KeyTrouble } from './trouble.ts'
