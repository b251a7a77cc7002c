export { DEFAULT_LIMITS, type KmsServerLimits } from './limits.ts'
export {
  type KmsCallReport,
  type KmsListenOptions,
  type KmsServerFailure,
  type KmsServerOptions,
  type KmsSocket,
  type KmsSocketOwner,
  type KmsV2Server,
  serveKmsV2,
} from './serve.ts'
export { type KmsMethod } from './service.ts'
