export { adoptKeyring, type Adopted } from './adopt.ts'
export { classifySealFailure, mayHaveCostTry } from './classify.ts'
export { type ConfiguredSeal, type EnrolledDevice, type SealContext } from './configured-seal.ts'
export {
  configuredSeals,
  type NamedFailure,
  openKmsThrough,
  openThrough,
  proveThrough,
  unwrapThrough,
  unwrapThroughAny,
} from './node-seals.ts'
export {
  decodeEnrolmentRequest,
  encodeEnrolmentRequest,
  enrolmentFingerprint,
  enrolmentMember,
  type EnrolmentRequest,
  isFingerprintOf,
  makeEnrolmentRequest,
} from './enrolment.ts'
export { EnrolmentError, type EnrolmentErrorCode } from './enrolment-error.ts'
export { createLine, type Line } from './line.ts'
export { refusedPins, type RefusedPins } from './refused-pins.ts'
export {
  type NamedSet,
  proveByShares,
  recordForShares,
  type Unlocked,
  withRootRecords,
  withShareSet,
  withSharesOf,
} from './share-set.ts'
export { type StandIn, standInFor } from './stand-in.ts'
export { mayNeedTending, type Tended, type TendInput, tendSeals } from './tend.ts'
export { agentLock, type AgentLock } from './store-lock.ts'
export { openKeyringStore, readStoredKeyring } from './store.ts'
export { addToPoliciesFile, retireFromPoliciesFile } from './signed-policy/change.ts'
export { signedSealOf, type SignedTpmSealConfig, tpmSealOf } from './signed-policy/configured.ts'
export { SignedPolicyError, type SignedPolicyErrorCode } from './signed-policy/error.ts'
export {
  type ExamineInput,
  examinePolicies,
  type PoliciesReport,
  type PolicyStanding,
  type PolicyView,
} from './signed-policy/examine.ts'
export {
  createPoliciesFile,
  type PoliciesFile,
  readPoliciesFile,
  readPoliciesFileIfAny,
} from './signed-policy/policies-file.ts'
export { resealTpm, type Resealed } from './signed-policy/reseal.ts'
export { tpmAccess } from './tpm-access.ts'
export { type ConnectionOptions, transitConnection } from './transit-connection.ts'
export { howToRelabel, labelIgnored } from './label-ignored.ts'
