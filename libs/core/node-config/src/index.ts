export { NodeConfigError, type NodeConfigErrorCode } from './errors.ts'
export { parseNodeConfig } from './parse.ts'
export { type AgentConfig, type NodeConfig, type SealConfig } from './schema.ts'
export {
  type Pkcs11SealConfig,
  type ShamirSealConfig,
  type SignedPolicyConfig,
  type TpmAddress,
  type TpmSealConfig,
  type TransitSealConfig,
} from './seal-schemas.ts'
