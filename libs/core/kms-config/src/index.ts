export { parseKmsConfig } from './parse.ts'
export { type KeyringBackendConfig, type KmsConfig, type TransitBackendConfig } from './schema.ts'
