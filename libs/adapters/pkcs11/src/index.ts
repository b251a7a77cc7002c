export { type KeySelector, type Pkcs11Access, type TokenAccess, type TokenSelector } from './access.ts'
export { PKCS11_CHANNEL_FD } from './channel/descriptor.ts'
export { type ModuleFacts } from './channel/facts.ts'
export { type OaepHash } from './oaep-hash.ts'
export { servePkcs11 } from './child/serve.ts'
export { Pkcs11Error, type Pkcs11ErrorCode, type Pkcs11ErrorKind } from './errors.ts'
export { type ExpectedKey, type Pkcs11Identity, readPkcs11Identity } from './identity.ts'
export { pkcs11MemberId, rsaKeyReference } from './key-reference.ts'
export { type ProgramOfModule } from './module-process.ts'
export { type Pkcs11Module, pkcs11Module, type Pkcs11ModuleOptions } from './module.ts'
export {
  generateAesKey,
  generateRsaKeyPair,
  initialiseToken,
  listPkcs11Keys,
  listPkcs11Tokens,
  type NewKeyOptions,
  type NewToken,
  type Pkcs11Key,
  type Pkcs11Token,
} from './provisioning.ts'
export {
  expectedKeyOf,
  pkcs11RemoteMember,
  pkcs11SealMember,
  type Pkcs11SealMemberOptions,
  type RemoteMemberOptions,
} from './seal-member.ts'
export { decodeSealedKek, encodeSealedKek, type SealedKek } from './sealed-kek.ts'
export { type CallOptions } from './token-operation.ts'
