export { NodeConfigError, type NodeConfigErrorCode } from './errors.ts'
export { absolutePath, clusterIdText, openBaoAddress, text, wholeNumber } from './fields.ts'
export { parseConfig, parseNodeConfig } from './parse.ts'
export { type AgentConfig, type NodeConfig, type SealConfig, sealList } from './schema.ts'
export {
  hasItsCertificate,
  NEEDS_CERTIFICATE,
  type Pkcs11SealConfig,
  type ShamirSealConfig,
  type SignedPolicyConfig,
  type TpmAddress,
  type TpmSealConfig,
  transitAuth,
  type TransitConnection,
  type TransitSealConfig,
  transitTls,
} from './seal-schemas.ts'
