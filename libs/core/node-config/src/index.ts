export { NodeConfigError, type NodeConfigErrorCode } from './errors.ts'
export { parseNodeConfig } from './parse.ts'
export { type AgentConfig, type NodeConfig, type TpmAddress, type TpmSealConfig } from './schema.ts'
