export { type TpmTransport } from './channel.ts'
export {
  type ConditionsComparison,
  type ConfiguredConditions,
  type RecordedConditions,
  assertNotWeaker,
  compareConditions,
  conditionsOf,
} from './conditions.ts'
export { type PcrDrift, TpmError, type TpmErrorCode, type TpmErrorKind } from './errors.ts'
export { type CallOptions, type TpmAccess } from './operation.ts'
export { type TpmRemoteMemberOptions, tpmRemoteMember, tpmWrappingKey } from './remote-member.ts'
export { type RemoteTpm, type SealConditions, sealKek, sealKekForRemote } from './seal.ts'
export { type TpmSealMemberOptions, expectedTpmOf, tpmMemberId, tpmSealMember } from './seal-member.ts'
export { type ResolvedPolicy, type SealPolicy, policySigner } from './seal-policy.ts'
export { type SealedKek, decodeSealedKek, encodeSealedKek, tss2KeyOf } from './sealed-kek.ts'
export { type TpmIdentity, type TpmStatus, getRandom, readPcrs, readTpmIdentity, readTpmStatus } from './status.ts'
export { type ExpectedTpm } from './storage-key.ts'
export {
  type Tss2Policy,
  type Tss2SealedKey,
  decodeTss2Key,
  decodeTss2Pem,
  encodeTss2Key,
  encodeTss2Pem,
} from './tss2-key.ts'
export { type UnsealCredentials, unsealKek } from './unseal.ts'
