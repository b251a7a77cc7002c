export { ControlApiError, type ControlApiErrorCode } from './errors.ts'
export { decodeFacts, encodeFacts } from './facts.ts'
export { judge, type Verdict } from './judge.ts'
export {
  type FingerprintedMember,
  memberFingerprint,
  membersNamed,
  memberSetFingerprint,
} from './member-fingerprints.ts'
export {
  type AnswerBody,
  BYTES_TYPE,
  FACTS_HEADER,
  JSON_TYPE,
  type JsonAnswerOf,
  type JsonBodyOf,
  type Operation,
  type ParametersOf,
  type QueryOf,
  type RequestBody,
} from './operation.ts'
export { methodsOf, OPERATION_IDS, type OperationId, type OperationOf, OPERATIONS, pathOf } from './operations.ts'
export { MAX_ENROLMENT_BYTES, MAX_KEYRING_BODY_BYTES } from './operations/members.ts'
export { MAX_SHARE_BYTES } from './operations/unseal.ts'
export { parseJsonBody, parseParameters, parseQuery } from './parse-request.ts'
export { BAD_REQUEST, CONFLICT, INTERNAL, NOT_FOUND, type RefusalView, statusOfCode, UNAVAILABLE } from './refusals.ts'
export { joinSecretLines, splitSecretLines } from './secret-lines.ts'
export {
  type KeyringView,
  type NamedSealStatusView,
  type OpenBaoView,
  parseProbeView,
  parseStatusView,
  type ProbeView,
  type RefusedKeyringView,
  type SealHealthView,
  type SealView,
  type ShareSetView,
  type StatusView,
  viewSealHealth,
} from './status.ts'
export { type CeremoniesView, type CeremonyView, type RehearsalView, type ResetView } from './views/ceremony.ts'
export { type ConfirmedView, type EnrolmentView, type ImportView, type InitialisedView } from './views/members.ts'
export { type PlaceView } from './views/places.ts'
export { type GenerationsView, type GenerationView, type RetirementView, type RotationView } from './views/rotation.ts'
export {
  type ListedSealsView,
  type ListedSealView,
  type MembersView,
  type MemberView,
  type RecordView,
  type ReloadView,
} from './views/seals.ts'
