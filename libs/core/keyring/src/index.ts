export { activateGeneration, addGeneration, type Holding, retireGeneration } from './add-generation.ts'
export { addRecord, type RecordInput, type Surroundings } from './add-record.ts'
export { decodeKeyring, encodeKeyring } from './codec.ts'
export { createKeyring } from './create-keyring.ts'
export { KeyringError, type KeyringErrorCode } from './keyring-error.ts'
export {
  findGeneration,
  findMember,
  findRecords,
  findSeal,
  findSealRecords,
  type Generation,
  type Keyring,
  type KeyringContents,
  type KeyringRecord,
  type Link,
  MAX_KEYRING_BYTES,
  MAX_NAME_BYTES,
  MAX_SEALED_KEK_BYTES,
  type Member,
  type Seal,
} from './keyring.ts'
export { currentGeneration, FIRST_GENERATION, isGivenUp, leadsToCurrent, rootGenerations } from './lineage.ts'
export { assertKmsKeyring, isKmsKeyring, makeKmsKeyId, parseKmsKeyId } from './kms-key-id.ts'
export { kmsChain, type KmsGeneration, kmsKeyringOf, openKmsKeyring, type OpenKmsKeyring } from './open-kms-keyring.ts'
export { reactivateGenerations, retiredSince, type Retirement } from './reactivate.ts'
export { reinstateRecords } from './reinstate.ts'
export { isSameContent, isSameLink, isSamePlace } from './same-entry.ts'
export { relabelMember } from './relabel.ts'
export { isMissed, type MemberPlace, reachedGenerations, removeMember, removeMembers, removeSeal } from './remove.ts'
export { openKeyring, OpenKeyring, type OpenOptions } from './open-keyring.ts'
export { assertLeavesRoom } from './room.ts'
export { type StaticBlob } from './static-blob.ts'
export { assertOrigin } from './origin.ts'
export {
  type EntryState,
  type GenerationState,
  type GenerationStep,
  isQuantumExposed,
  provesOrigin,
  type RecordMethod,
  sealTypeOf,
} from './registry.ts'
export { ID_BYTES, KEY_BYTES, type SealMember, type SealType } from './seal.ts'
export {
  findKeyGeneration,
  followSealKeys,
  matchSealKey,
  proveRecords,
  SealKeys,
  unwrapSealKeys,
  type UnwrapInput,
} from './seal-keys.ts'
