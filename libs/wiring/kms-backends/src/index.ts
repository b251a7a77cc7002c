export { type BackendContext, type ConfiguredBackend, kmsBackend } from './backend.ts'
export { type Admission, admitNode } from './keyring-admit.ts'
export { type KeyringAbilities, keyringBackend, type KeyringBackendContext } from './keyring-backend.ts'
export { type Imported, importKeyring } from './keyring-bring.ts'
export { KmsKeyringError, type KmsKeyringErrorCode } from './keyring-error.ts'
export { type KeyringEvent } from './keyring-events.ts'
export { type EncryptingVersion, giveUpVersions, type GivenUp, type GivingUp } from './keyring-given-up.ts'
export { type HandedShares, type InitInput, initKeyring, type WantedShares } from './keyring-init.ts'
export { type ExaminedSeal, type SealVerdict } from './keyring-opener.ts'
export { type RemadeRecord } from './keyring-remake.ts'
export { type RestoredVersions, restoreVersions } from './keyring-restore.ts'
export { type RetiredVersions, type RetirementProof, retireVersions } from './keyring-retire.ts'
export { type RotatedKeyring, rotateKeyring } from './keyring-rotate.ts'
export { findStored, readStored, type StoredKeyring } from './keyring-store.ts'
export { assertNotForked, type KeyringNode, type WrittenKeyring } from './keyring-unlock.ts'
export { supportOf } from './keyring-versions.ts'
export {
  encodeRotationVerification,
  type EtcdLookedAt,
  parseRotationVerification,
  type RotationVerification,
} from './rotation-verification.ts'
export {
  KmsStateFileError,
  type KmsStateFileErrorCode,
  kmsStatePath,
  readKmsState,
  type StateTrust,
  writeKmsState,
} from './state-file.ts'
